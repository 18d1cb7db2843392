/**
 * Room: test, bench. Seconds from the request until the guest answers: on a disk that is there already, on
 * one that comes while the guest runs, and on one that comes whole before it starts.
 *
 * I1: every guest runs under the same emulator with the same specification, one at a time.
 * I2: no edge takes anything of another; each prepared itself as edges do.
 * I3: what others would do is their delivery, measured in this run as in `time`, and then the boot of a disk
 *     that is there, measured in this run.
 */

import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { openNetlab } from '@vmdn/infra/netlab/netlab.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { type BootFigures, bootReport } from './boot-report.ts';
import { chosen } from './chosen.ts';
import { ensureGuests } from './guests.ts';
import { type Method, measure, type Task } from './methods/method.ts';
import { rsyncImage } from './methods/rsync-image.ts';
import { type Edge, VmdnNetwork } from './methods/vmdn-network.ts';
import { zstdCopy } from './methods/zstd-copy.ts';
import { openWorkbench } from './workbench.ts';

const BASE = 'debian-12-base';
const WANTED = ['web-01', 'shop-01', 'shop-01-data'] as const;

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  const names = chosen('pair', options.pairs, WANTED);
  await using bench = await openWorkbench(options);
  const [base, ...wanteds] = await ensureGuests([BASE, ...names], options);
  const baseDisk = await bench.disk(base!);
  const figures = new Map<string, BootFigures>();
  for (const guest of wanteds) {
    const task = { base: baseDisk, wanted: await bench.disk(guest), bench, options };
    const copy = await deliverySeconds(zstdCopy, task);
    const rsync = await deliverySeconds(rsyncImage, task);
    const ours = await measureBoots(task);
    figures.set(guest.name, { ...ours, copy: copy + ours.local, rsync: rsync + ours.local });
  }
  return bootReport(figures, options.rateBytesPerSecond);
}

/** With its quickest setting. */
async function deliverySeconds(method: Method, task: Task): Promise<number> {
  const costs = await measure(method, task);
  return Math.min(...costs.map(({ seconds }) => seconds));
}

async function measureBoots(task: Task): Promise<Omit<BootFigures, 'copy' | 'rsync'>> {
  const { runner, signal, rateBytesPerSecond } = task.options;
  await using lab = await openNetlab({
    runner,
    signal,
    rateBytesPerSecond: rateBytesPerSecond ?? undefined,
  });
  await using network = await VmdnNetwork.start(task, lab);
  const near = { hasMirror: true, hasBase: true, isAlone: true };
  const whole = await network.startEdge('whole', near);
  const lazy = await network.startEdge('lazy', near);
  const digest = await network.announce();
  for (const edge of [whole, lazy]) await network.packagesBrought(edge, digest);

  const complete = await boot(network, task, whole, 'whole');
  const local = await boot(network, task, whole, 'whole');
  const lazily = await boot(network, task, lazy, 'lazy');
  const bare = await network.startEdge('bare', { hasMirror: false, hasBase: false, isAlone: true });
  const byTrace = await boot(network, task, bare, 'lazy');
  const { trace, stallSeconds, disks } = byTrace.teleport;
  if (trace === null || stallSeconds === null || lazily.teleport.stallSeconds === null) {
    throw new Error(`${task.wanted.name} was not booted lazily, or not by a trace`);
  }
  // At the ratio at which this disk crosses.
  const came = disks.reduce((sum, { diskBytes }) => sum + diskBytes.origin, 0);
  const crossed = disks.reduce((sum, { wireBytes }) => sum + totalTierBytes(wireBytes), 0);
  return {
    local: local.seconds,
    lazy: lazily.seconds,
    lazyStall: lazily.teleport.stallSeconds,
    complete: complete.seconds,
    traceOnly: byTrace.seconds,
    traceOnlyStall: stallSeconds,
    traceBytes: Math.round((trace.bytes * crossed) / came),
  };
}

/** From the request until the guest answers; then its VM is removed, and its disk stays. */
async function boot(
  network: VmdnNetwork,
  { wanted, options }: Task,
  edge: Edge,
  way: 'lazy' | 'whole',
): Promise<{ seconds: number; teleport: Teleport }> {
  options.progress(`${wanted.name}: ${way} on the edge ${edge.name}`);
  const booted = (await network.control('boot', wanted.name, edge.region, way)) as Teleport & {
    startMs: number;
    endMs: number;
  };
  await network.control('cancel', booted.teleport);
  return { seconds: (booted.endMs - booted.startMs) / 1000, teleport: booted };
}
