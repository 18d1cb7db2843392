/** Room: test, bench. The figures of the benchmark `nbd`, for people and for programs. */

import type { BenchmarkReport } from './benchmark.ts';
import { formatTable } from './table.ts';

export type NbdServerName = 'vmdn' | 'qemuNbd' | 'nbdkit';

/** Bytes a second by nbdcopy; reads of 4 KiB a second by qemu-img bench. */
export interface NbdFigures {
  readonly sequential: Record<NbdServerName, number>;
  readonly random: Record<NbdServerName, number>;
}

const WORDS: Readonly<Record<NbdServerName, string>> = {
  vmdn: 'VMDN',
  qemuNbd: 'qemu-nbd, its better way of reading',
  nbdkit: 'nbdkit file',
};

/** Wanted, of what qemu-nbd does. */
const RATIO_MIN = 0.6;

export function nbdReport({ sequential, random }: NbdFigures): BenchmarkReport {
  const names = Object.keys(WORDS) as NbdServerName[];
  const ratios = {
    sequential: sequential.vmdn / sequential.qemuNbd,
    random: random.vmdn / random.qemuNbd,
  };
  const megabytes = (name: NbdServerName): string => `${(sequential[name] / 1e6).toFixed(0)} MB/s`;
  const reads = (name: NbdServerName): string => `${Math.round(random[name])}`;
  const rows = names.map((name) => [WORDS[name], megabytes(name), reads(name)]);
  const ratioRow = ['VMDN ÷ qemu-nbd', ratios.sequential.toFixed(2), ratios.random.toFixed(2)];
  const heading = ['1 GiB in the page cache', 'end to end', '4 KiB reads/s'];
  const promised = (['sequential', 'random'] as const).map((what) => ({
    words: `${what}: ${ratios[what].toFixed(2)} of qemu-nbd ≥ ${RATIO_MIN}`,
    holds: ratios[what] >= RATIO_MIN,
  }));
  const lines = promised.map(({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`);
  const bar = (name: NbdServerName, value: number, words: string) => {
    return { label: name, value, words, isOurs: name === 'vmdn' };
  };
  const inMegabytes = Object.fromEntries(
    names.map((name) => [name, Number((sequential[name] / 1e6).toFixed(1))]),
  );
  const rounded = Object.fromEntries(names.map((name) => [name, Math.round(random[name])]));
  return {
    json: {
      sequential: { ...inMegabytes, ratio: Number(ratios.sequential.toFixed(3)) },
      random: { ...rounded, ratio: Number(ratios.random.toFixed(3)) },
    },
    table: [formatTable([heading, ...rows, ratioRow]), ...lines].join('\n'),
    plot: {
      title: 'A complete disk by NBD on a unix socket',
      groups: [
        {
          title: 'end to end by nbdcopy, bytes a second',
          bars: names.map((name) => bar(name, sequential[name], megabytes(name))),
        },
        {
          title: '4 KiB here and there by qemu-img bench, reads a second',
          bars: names.map((name) => bar(name, random[name], reads(name))),
        },
      ],
    },
    promised,
  };
}
