/** Room: test, bench. The figures of the benchmark `assemble`, for people and for programs. */

import type { BenchmarkReport } from './benchmark.ts';
import { formatMegabytes, formatTable } from './table.ts';

export const ASSEMBLE_METHODS = ['vmdn', 'cp', 'shared'] as const;
type AssembleMethod = (typeof ASSEMBLE_METHODS)[number];

const WORDS: Readonly<Record<AssembleMethod, string>> = {
  vmdn: 'VMDN, every block at another place in a local image',
  cp: 'cp --sparse=always, sync -d',
  shared: 'VMDN, storage shared with an image that has all in place',
};

/** VMDN may take this much of what copying takes, SHA-256 of everything included. */
const RATIO_MAX = 1.3;

export interface AssembleFigures {
  readonly guest: string;
  readonly nonZeroBytes: number;
  readonly seconds: Readonly<Record<AssembleMethod, number>>;
}

export function assembleReport({ guest, nonZeroBytes, seconds }: AssembleFigures): BenchmarkReport {
  const rows = ASSEMBLE_METHODS.map((method) => [
    WORDS[method],
    `${seconds[method].toFixed(3)} s`,
    `${formatMegabytes(nonZeroBytes / seconds[method])}/s`,
    (seconds[method] / seconds.cp).toFixed(2),
  ]);
  const title = `${guest}, ${formatMegabytes(nonZeroBytes)} that are not zero, all local`;
  const words = `seconds ≤ ${RATIO_MAX} × cp`;
  const holds = seconds.vmdn <= RATIO_MAX * seconds.cp;
  const bars = ASSEMBLE_METHODS.map((method) => ({
    label: method,
    value: seconds[method],
    words: `${seconds[method].toFixed(2)} s`,
    isOurs: method !== 'cp',
  }));
  const table = formatTable([[title, 'seconds', 'non-zero bytes', '× cp'], ...rows]);
  return {
    json: seconds,
    table: `${table}\n${words}: ${holds ? 'yes' : 'NO'}`,
    plot: {
      title: 'Seconds until a disk is put together, verified and durable',
      groups: [{ title: guest, bars }],
    },
    promised: [{ words, holds }],
  };
}
