/**
 * Room: test, bench. How much memory a delivery takes, however large the disk: the most that each process
 * had resident, while 11 GiB of random bytes come from the origin as fast as this machine can.
 *
 * I1: coordinator, origin and edge are the processes they are; a figure stands only when the disk is
 *     verified.
 */

import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { measure } from './methods/method.ts';
import { vmdn } from './methods/vmdn.ts';
import { randomDisk } from './random-disk.ts';
import { formatMegabytes, formatTable } from './table.ts';
import { openWorkbench } from './workbench.ts';

/** Small: what the edge has does not matter here. */
const BASE = 'tiny';
const DISK_BYTES = 11 * 2 ** 30;
const EDGE_BYTES_MAX = 400_000_000;

export async function run(given: BenchmarkOptions): Promise<BenchmarkReport> {
  const options = { ...given, rateBytesPerSecond: null };
  await using bench = await openWorkbench(options);
  const [base] = await ensureGuests([BASE], options);
  const baseDisk = await bench.disk(base!);
  const wanted = await randomDisk(options, bench, baseDisk.source, DISK_BYTES);
  const [cost] = await measure(vmdn, { base: baseDisk, wanted, bench, options });
  const { peaks, critical } = cost!;
  const seconds = (critical.endMs - critical.startMs) / 1000;
  const rows = Object.entries(peaks).map(([name, bytes]) => [name, formatMegabytes(bytes)]);
  const holds = (peaks.edge ?? Number.POSITIVE_INFINITY) <= EDGE_BYTES_MAX;
  const words = `edge ≤ ${formatMegabytes(EDGE_BYTES_MAX)}`;
  const bars = Object.entries(peaks).map(([label, value]) => {
    return { label, value, words: formatMegabytes(value), isOurs: true };
  });
  const heading = [`${formatMegabytes(DISK_BYTES)} in ${seconds.toFixed(1)} s`, 'most resident'];
  return {
    json: { ...peaks, diskBytes: DISK_BYTES, seconds },
    table: [formatTable([heading, ...rows]), `${words}: ${holds ? 'yes' : 'NO'}`].join('\n'),
    plot: { title: 'Most memory in a delivery', groups: [{ title: 'resident', bars }] },
    promised: [{ words, holds }],
  };
}
