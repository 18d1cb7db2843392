/** Room: test, bench. The figures of the benchmark `boot`, for people and for programs. */

import type { BenchmarkReport, Promised } from './benchmark.ts';
import type { BarGroup } from './plot.ts';
import { formatBytes, formatTable } from './table.ts';

/** Wanted: so many seconds of stall with base image and mirror near, and beside what the trace takes. */
const STALL_MAX_S = 2;
const TRACE_RATIO_MAX = 1.2;

/** Seconds from the request until the guest answers, and of stall; bytes as they cross. */
export interface BootFigures {
  readonly local: number;
  readonly lazy: number;
  readonly lazyStall: number;
  readonly complete: number;
  readonly copy: number;
  readonly rsync: number;
  readonly traceOnly: number;
  readonly traceOnlyStall: number;
  readonly traceBytes: number;
}

const WORDS: readonly (readonly [keyof BootFigures, string, keyof BootFigures | undefined])[] = [
  ['local', 'its disk is there already', undefined],
  ['lazy', 'lazy; base image and mirror near', 'lazyStall'],
  ['complete', 'whole disk, then boot; the same near', undefined],
  ['traceOnly', 'lazy; nothing near but a trace', 'traceOnlyStall'],
  ['rsync', 'rsync -z of the image, then boot', undefined],
  ['copy', 'whole zstd copy, then boot', undefined],
];

/** `rateBytesPerSecond`: of the link; null: without a limit, and then nothing is promised of traces. */
export function bootReport(
  all: ReadonlyMap<string, BootFigures>,
  rateBytesPerSecond: number | null,
): BenchmarkReport {
  const entries = [...all];
  const promised = [
    ...entries.flatMap(([name, figures]) => promisedOf(name, figures, rateBytesPerSecond)),
    ...sizePromise(all),
  ];
  const lines = promised.map(({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`);
  const tables = entries.map(([name, figures]) => tableOf(name, figures));
  return {
    json: Object.fromEntries(entries),
    table: [...tables, lines.join('\n')].join('\n\n'),
    plot: {
      title: 'Seconds from the request until the guest answers, under emulation',
      groups: entries.map(([name, figures]) => barsOf(name, figures)),
    },
    promised,
  };
}

function tableOf(name: string, figures: BootFigures): string {
  const rows = WORDS.map(([key, words, stall]) => [
    words,
    figures[key].toFixed(1),
    stall === undefined ? '' : figures[stall].toFixed(2),
  ]);
  const heading = [`${name}; its trace ${formatBytes(figures.traceBytes)} B`, 'seconds', 'stall'];
  return formatTable([heading, ...rows]);
}

function promisedOf(name: string, figures: BootFigures, rate: number | null): Promised[] {
  const { lazyStall, traceOnlyStall, traceBytes } = figures;
  const lazy = {
    words: `${name}: lazy stalls ${lazyStall.toFixed(2)} s ≤ ${STALL_MAX_S} s`,
    holds: lazyStall <= STALL_MAX_S,
  };
  if (rate === null) return [lazy];
  const bound = (TRACE_RATIO_MAX * traceBytes) / rate + STALL_MAX_S;
  const rule = `${TRACE_RATIO_MAX} × its trace over the link + ${STALL_MAX_S}`;
  const words = `${name}: by its trace ${traceOnlyStall.toFixed(2)} s ≤ ${bound.toFixed(2)} s (${rule})`;
  return [lazy, { words, holds: traceOnlyStall <= bound }];
}

/** How large a VM is does not matter. */
function sizePromise(all: ReadonlyMap<string, BootFigures>): Promised[] {
  const small = all.get('shop-01');
  const large = all.get('shop-01-data');
  if (small === undefined || large === undefined) return [];
  const more = large.lazyStall - small.lazyStall;
  const words = `shop-01-data stalls ${more.toFixed(2)} s more than shop-01 ≤ ${STALL_MAX_S} s`;
  return [{ words, holds: more <= STALL_MAX_S }];
}

function barsOf(name: string, figures: BootFigures): BarGroup {
  const isOurs = (key: string): boolean => key !== 'copy' && key !== 'rsync';
  const bars = WORDS.map(([key]) => ({
    label: key,
    value: figures[key],
    words: `${figures[key].toFixed(1)} s`,
    isOurs: isOurs(key),
  }));
  return { title: name, bars };
}
