/**
 * Room: test, bench. A complete disk served by NBD on a unix socket: read from end to end by nbdcopy, and in
 * blocks of 4 KiB by qemu-img bench, from our server, qemu-nbd and nbdkit.
 *
 * I1: each measurement has a fresh server, and all of them the same file, which is in the page cache:
 *     servers are measured, not the drive.
 * I2: servers take turns; the first round is thrown away, and a server's figure is its best round.
 * I3: qemu-nbd is given both of its ways to read, a pool of threads and io_uring; its better one counts.
 * I4: what nbdcopy copies is compared first: a server that is fast and wrong has no figure.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { wireScript } from './methods/method.ts';
import { type NbdFigures, type NbdServerName, nbdReport } from './nbd-report.ts';
import { randomDisk } from './random-disk.ts';
import { type Disk, openWorkbench, sha256OfFile, type Workbench } from './workbench.ts';

const DISK_BYTES = 2 ** 30;
const ROUNDS = 5;
const TIMEOUT_MS = 300_000;
const READS = 200_000;
/** As many as a guest with a busy disk has. */
const DEPTH = 32;
/** In blocks, odd: leaps through the whole disk, and comes to each block once before any comes again. */
const STEP_BLOCKS = 5001;

interface Server {
  readonly name: NbdServerName;
  readonly tool: string;
  args(path: string, socket: string): string[];
}

const qemuNbd = (aio: string): Server => ({
  name: 'qemuNbd',
  tool: 'qemu-nbd',
  args: (path, socket) => {
    const flags = ['--read-only', '--persistent', '--format=raw', '--shared=16', `--aio=${aio}`];
    return [...flags, `--socket=${socket}`, '--', path];
  },
});

const SERVERS: readonly Server[] = [
  {
    name: 'vmdn',
    tool: process.execPath,
    args: (path, socket) => [wireScript('serve-nbd.ts'), path, socket],
  },
  qemuNbd('threads'),
  qemuNbd('io_uring'),
  {
    name: 'nbdkit',
    tool: 'nbdkit',
    args: (path, socket) => ['--foreground', '--readonly', '--unix', socket, 'file', path],
  },
];

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  await using bench = await openWorkbench(options);
  const [guest] = await ensureGuests(['tiny'], options);
  const { source } = await bench.disk(guest!);
  const disk = await randomDisk(options, bench, source, DISK_BYTES);
  const best: NbdFigures = {
    sequential: { vmdn: 0, qemuNbd: 0, nbdkit: 0 },
    random: { vmdn: 0, qemuNbd: 0, nbdkit: 0 },
  };
  for (const server of SERVERS) await prove(options, bench, disk, server);
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const server of SERVERS) {
      const { sequential, random } = await measure(options, bench, disk, server);
      const words = `${(sequential / 1e6).toFixed(0)} MB/s, ${random.toFixed(0)} reads/s`;
      options.progress(`round ${round} of ${ROUNDS}: ${server.name} ${words}`);
      if (round === 0) continue;
      best.sequential[server.name] = Math.max(best.sequential[server.name], sequential);
      best.random[server.name] = Math.max(best.random[server.name], random);
    }
  }
  return nbdReport(best);
}

/** I4. */
async function prove(
  options: BenchmarkOptions,
  bench: Workbench,
  disk: Disk,
  server: Server,
): Promise<void> {
  const copy = join(await bench.freshFolder('copy'), 'disk.raw');
  await serving(options, bench, disk, server, async (url) => {
    const { runner, signal } = options;
    await runner.run('nbdcopy', ['--', url, copy], { timeoutMs: TIMEOUT_MS, signal });
  });
  const isRight = (await sha256OfFile(copy, options.signal)) === disk.sha256;
  await rm(copy);
  if (!isRight) throw new VmdnError('corrupt', `${server.tool} served something else.`);
}

/** Bytes a second from end to end, and blocks a second here and there. */
async function measure(
  options: BenchmarkOptions,
  bench: Workbench,
  disk: Disk,
  server: Server,
): Promise<{ readonly sequential: number; readonly random: number }> {
  const { runner, signal } = options;
  const timing = { timeoutMs: TIMEOUT_MS, signal };
  return await serving(options, bench, disk, server, async (url) => {
    const startMs = performance.now();
    await runner.run('nbdcopy', ['--', url, 'null:'], timing);
    const sequential = disk.sizeBytes / ((performance.now() - startMs) / 1000);
    const sizes = ['-s', `${BLOCK_BYTES}`, '-S', `${STEP_BLOCKS * BLOCK_BYTES}`];
    const counts = ['-c', `${READS}`, '-d', `${DEPTH}`];
    const args = ['bench', '-f', 'raw', '-t', 'none', ...counts, ...sizes, '--', url];
    const { stdout } = await runner.run('qemu-img', args, timing);
    const seconds = Number(/completed in ([\d.]+) seconds/.exec(stdout)?.[1]);
    return { sequential, random: READS / seconds };
  });
}

/** I1. */
async function serving<Result>(
  { runner, signal }: BenchmarkOptions,
  bench: Workbench,
  disk: Disk,
  { tool, args }: Server,
  use: (url: string) => Promise<Result>,
): Promise<Result> {
  const folder = await bench.freshFolder('n');
  const socket = join(folder, 's');
  const url = `nbd+unix:///?socket=${socket}`;
  const server = runner.start(tool, args(disk.rawPath, socket), {
    lifetime: 'with-parent',
    signal,
  });
  try {
    const probe = ['--size', '--', url];
    await waitFor(
      `${tool} to serve`,
      () => runner.run('nbdinfo', probe, { timeoutMs: 5000, signal }),
      { timeoutMs: 30_000, signal },
    );
    return await use(url);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true });
  }
}
