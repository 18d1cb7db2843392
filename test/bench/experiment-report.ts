/** Room: test, bench. The figures of the benchmark `report`, for people and for programs; its four charts. */

import type { BenchmarkReport, Promised } from './benchmark.ts';
import { BLOCK_BYTES, type Use } from './disk-uses.ts';
import type { Bar, BarGroup } from './plot.ts';
import { formatBytes, formatMegabytes, formatTable } from './table.ts';

/** Wanted of `exact`: of functional's time where there is little data; where there is much, of the link's. */
const TIME_RATIO_MAX = 0.5;
const LINK_RATIO_MAX = 1.05;
const LINK_MORE_S = 10;
const BYTES_RATIO_MAX = 1.02;
/** What a functional copy takes of blocks of a use, where `exact` takes all of them. */
const BY_FUNCTIONAL: Readonly<Record<Use, string>> = {
  initrd: 'nothing',
  'file-system metadata': 'what it reads',
  'free space': 'nothing',
  'kernel and boot loader': 'nothing',
  'folders that both runs leave out': 'nothing',
  'files below /usr and /lib': 'files that are not there',
  'other files': 'files that differ',
};

/** Of the runs of one method. */
export interface Average {
  readonly words: string;
  /** From the request until the disk is complete and durable. */
  readonly s: number;
  /** Of them in appliances. */
  readonly applianceS: number;
  /** Between the hypervisors, both directions: from before the description is made. */
  readonly bytes: number;
  /** Of them before the request. */
  readonly beforeBytes: number;
}

/** Blocks of a disk that neither the image nor a package near the edge has, each once. */
export interface Missing {
  /** Bytes of those that zstd does not make smaller. */
  readonly incompressible: number;
  /** Empty where the blocks are too many to look for. `zstdBytes`: all of a use as one stream. */
  readonly byUse: ReadonlyMap<Use, { readonly blocks: number; readonly zstdBytes: number }>;
}

export interface VmFigures {
  readonly averages: ReadonlyMap<string, Average>;
  readonly missing: Missing;
}

export interface Setting {
  readonly base: string;
  readonly runs: number;
  /** Of the link, bytes per second; null: no limit. */
  readonly rate: number | null;
}

export function experimentReport(
  setting: Setting,
  vms: ReadonlyMap<string, VmFigures>,
): BenchmarkReport {
  const entries = [...vms];
  const promised = entries.flatMap(([name, figures]) => promisedOf(setting, name, figures));
  const tables = entries.flatMap(([name, figures]) => [
    tableOf(setting, name, figures),
    ...(figures.missing.byUse.size === 0 ? [] : [usesTable(name, figures.missing)]),
  ]);
  const lines = promised.map(({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`);
  return {
    json: { vms: Object.fromEntries(entries.map(([name, figures]) => [name, jsonOf(figures)])) },
    table: [...tables, lines.join('\n')].join('\n\n'),
    plot: {
      title: titleOf(setting),
      groups: entries.flatMap(([name, figures]) => chartsOf(name, figures)),
    },
    promised,
  };
}

function titleOf({ runs, rate }: Setting): string {
  const link = rate === null ? 'no limit of the link' : `${formatMegabytes(rate)}/s`;
  return `Teleporting virtual machines, 2015, repeated: average of ${runs}, ${link}`;
}

function jsonOf({ averages, missing }: VmFigures): object {
  const methods = [...averages].map(([key, { s, applianceS, bytes }]) => {
    const inAppliances = key === 'functional' ? { applianceS } : {};
    return [key, { s, ...inAppliances, bytes }] as const;
  });
  const { incompressible, byUse } = missing;
  return {
    ...Object.fromEntries(methods),
    missing: { incompressible, byUse: Object.fromEntries(byUse) },
  };
}

function tableOf({ base, runs, rate }: Setting, name: string, { averages }: VmFigures): string {
  const exact = averages.get('exact')?.s;
  const rows = [...averages.values()].map(({ words, s, applianceS, bytes, beforeBytes }) => [
    words,
    s.toFixed(1),
    applianceS === 0 ? '' : applianceS.toFixed(1),
    rate === null ? '' : (bytes / rate).toFixed(1),
    formatBytes(Math.round(bytes)),
    beforeBytes === 0 ? '' : formatBytes(Math.round(beforeBytes)),
    exact === undefined ? '' : (exact / s).toFixed(2),
  ]);
  const heading = `${base} → ${name}, average of ${runs}`;
  return formatTable([
    [heading, 'seconds', 'in appliances', 'link alone', 'bytes', 'of them before', 'exact is ×'],
    ...rows,
  ]);
}

function usesTable(name: string, { byUse }: Missing): string {
  const rows = [...byUse].map(([use, { blocks, zstdBytes }]) => [
    use,
    formatBytes(blocks * BLOCK_BYTES),
    formatBytes(zstdBytes),
    BY_FUNCTIONAL[use],
  ]);
  return formatTable([
    [`${name}: nowhere near the edge`, 'bytes', 'by zstd -3', 'functional takes'],
    ...rows,
  ]);
}

function promisedOf({ rate }: Setting, name: string, { averages, missing }: VmFigures): Promised[] {
  const [exact, functional] = [averages.get('exact'), averages.get('functional')];
  const promised: Promised[] = [];
  if (exact === undefined) return promised;
  if (name === 'shop-01' && functional !== undefined) {
    const bound = TIME_RATIO_MAX * functional.s;
    const words = `${exact.s.toFixed(1)} s ≤ ${bound.toFixed(1)} s (${TIME_RATIO_MAX} × functional)`;
    promised.push({ words: `${name}: exact ${words}`, holds: exact.s <= bound });
  }
  if (name !== 'shop-01-data') return promised;
  if (rate !== null) {
    const bound = (LINK_RATIO_MAX * missing.incompressible) / rate + LINK_MORE_S;
    const rule = `${LINK_RATIO_MAX} × incompressible ÷ link + ${LINK_MORE_S} s`;
    const words = `${exact.s.toFixed(1)} s ≤ ${bound.toFixed(1)} s (${rule})`;
    promised.push({ words: `${name}: exact ${words}`, holds: exact.s <= bound });
  }
  if (functional !== undefined) {
    const bound = BYTES_RATIO_MAX * functional.bytes;
    const figures = [exact.bytes, bound].map((bytes) => formatBytes(Math.round(bytes)));
    const words = `${figures.join(' ≤ ')} bytes (${BYTES_RATIO_MAX} × functional)`;
    promised.push({ words: `${name}: exact ${words}`, holds: exact.bytes <= bound });
  }
  return promised;
}

/** The report has for each VM a chart of the time and one of the bytes. */
function chartsOf(name: string, { averages }: VmFigures): BarGroup[] {
  const chart = (title: string, barOf: (average: Average) => Omit<Bar, 'label'>): BarGroup => ({
    title,
    hasOwnScale: true,
    bars: [...averages].map(([label, average]) => {
      return { label, isOurs: label === 'exact', ...barOf(average) };
    }),
  });
  const isEmulated = [...averages.values()].some(({ applianceS }) => applianceS > 0);
  const kind = isEmulated ? ' (pale: in appliances, which emulation makes longer)' : '';
  return [
    chart(`${name}: time${kind}`, ({ s, applianceS }) => {
      const pale = applianceS > 0 ? { paleValue: applianceS } : {};
      return { value: s, words: `${s.toFixed(1)} s`, ...pale };
    }),
    chart(`${name}: bytes between hypervisors`, ({ bytes }) => {
      return { value: bytes, words: formatMegabytes(bytes) };
    }),
  ];
}
