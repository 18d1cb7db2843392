/** Room: test, bench. The figures of the benchmark `time`, for people and for programs. */

import type { BenchmarkReport, Promised } from './benchmark.ts';
import type { BarGroup } from './plot.ts';
import { formatBytes, formatTable } from './table.ts';

/** VMDN may take this much of what the best of the others takes, and of the floor. */
const PEER_RATIO_MAX = 0.35;
const FLOOR_RATIO_MAX = 1.25;
const OURS: ReadonlySet<string> = new Set(['vmdn', 'vmdnCold']);

/** What a method took with its quickest setting. */
export interface Timed {
  readonly words: string;
  readonly setting: string;
  readonly seconds: number;
  /** What crossed meanwhile, both directions. */
  readonly bytes: number;
}

export interface TimeFigures {
  readonly methods: ReadonlyMap<string, Timed>;
  /** Undefined when VMDN itself was not measured. */
  readonly floorSeconds: number | undefined;
}

export function timeReport(base: string, pairs: ReadonlyMap<string, TimeFigures>): BenchmarkReport {
  const entries = [...pairs];
  const promised = entries.flatMap(([name, figures]) => promisedOf(name, figures));
  const lines = promised.map(({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`);
  return {
    json: { pairs: Object.fromEntries(entries.map(([name, one]) => [name, jsonOf(one)])) },
    table: [...entries.map(([name, one]) => tableOf(base, name, one)), lines.join('\n')].join(
      '\n\n',
    ),
    plot: {
      title: 'Seconds from the request to the verified, durable disk',
      groups: entries.map(([name, one]) => barsOf(base, name, one)),
    },
    promised,
  };
}

function jsonOf({ methods, floorSeconds }: TimeFigures): Record<string, number> {
  const seconds = [...methods].map(([key, timed]) => [key, timed.seconds] as const);
  const floor = floorSeconds === undefined ? {} : { floorSeconds };
  return { ...Object.fromEntries(seconds), ...floor };
}

function tableOf(base: string, name: string, { methods, floorSeconds }: TimeFigures): string {
  const ours = methods.get('vmdn')?.seconds;
  const ratio = (seconds: number): string =>
    ours === undefined ? '' : (ours / seconds).toFixed(2);
  const rows = [...methods.values()].map(({ words, setting, seconds, bytes }) => [
    setting === '' ? words : `${words} (${setting})`,
    seconds.toFixed(2),
    formatBytes(bytes),
    ratio(seconds),
  ]);
  const words = 'floor: VMDN’s bytes over the link, and a durable local copy';
  const floor =
    floorSeconds === undefined ? [] : [[words, floorSeconds.toFixed(2), '', ratio(floorSeconds)]];
  return formatTable([[`${base} → ${name}`, 'seconds', 'bytes', 'VMDN is ×'], ...rows, ...floor]);
}

function promisedOf(name: string, { methods, floorSeconds }: TimeFigures): Promised[] {
  const ours = methods.get('vmdn')?.seconds;
  if (ours === undefined) return [];
  const promised: Promised[] = [];
  const promise = (bound: number, rule: string): void => {
    const words = `${name}: ${ours.toFixed(2)} s ≤ ${bound.toFixed(2)} s (${rule})`;
    promised.push({ words, holds: ours <= bound });
  };
  const peers = [...methods].filter(([key]) => !OURS.has(key));
  const [best] = peers.sort(([, a], [, b]) => a.seconds - b.seconds);
  if (best !== undefined) {
    promise(PEER_RATIO_MAX * best[1].seconds, `${PEER_RATIO_MAX} × ${best[0]}`);
  }
  if (floorSeconds !== undefined)
    promise(FLOOR_RATIO_MAX * floorSeconds, `${FLOOR_RATIO_MAX} × floor`);
  return promised;
}

function barsOf(base: string, name: string, { methods, floorSeconds }: TimeFigures): BarGroup {
  const bars = [...methods].map(([label, { seconds }]) => ({
    label,
    value: seconds,
    words: `${seconds.toFixed(1)} s`,
    isOurs: OURS.has(label),
  }));
  const floor =
    floorSeconds === undefined
      ? []
      : [{ label: 'floor', value: floorSeconds, words: `${floorSeconds.toFixed(1)} s` }];
  return { title: `${base} → ${name}`, bars: [...bars, ...floor] };
}
