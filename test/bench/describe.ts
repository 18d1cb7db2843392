/**
 * Room: test, bench. How long describing a disk takes (recipe, digest, keysRoot, of the disk as it is and
 * without its free space, as origins do), beside what reads the same bytes and does less: `openssl dgst
 * -sha256` fed by nbdcopy, and `qemu-img convert` to a null target.
 *
 * I1: all three start from the same warm page cache: one round is run and thrown away.
 * I2: rounds alternate, and each method's figure is its best round, so that other work on the machine
 *     disturbs all alike and cannot make one look good.
 * I3: the peers get their best case. openssl hashes the disk's non-zero segments and nothing else, laid end
 *     to end in a raw file beforehand, from an export that is already open; we open and close ours on the
 *     clock.
 * I4: our hashing threads are those of a node, which outlive a disk (io/hashing/hash-pool.ts); the
 *     thrown-away round starts them.
 */

import { open, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type DiskLayer, parseDiskFormat } from '@vmdn/core/domain/disk-format.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { nonZeroBytesOf, type Recipe } from '@vmdn/core/domain/recipe.ts';
import { buildRecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { SEGMENT_BYTES, segmentLengthBytes } from '@vmdn/core/domain/units.ts';
import { recipeFileBytes } from '@vmdn/core/formats/recipe.ts';
import type { RunningCommand } from '@vmdn/core/io/command/command-runner.ts';
import { blockOptions } from '@vmdn/core/io/command/qemu-img.ts';
import { openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { type DiskDescription, describeDisk } from '@vmdn/core/io/hashing/describe-disk.ts';
import { createHashPool, type HashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import { connectNbd } from '@vmdn/core/io/nbd/nbd-client.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { simplePlot } from './plot.ts';
import { formatMegabytes, formatTable } from './table.ts';
import { openWorkbench } from './workbench.ts';

const GUEST = 'web-01';
const ROUNDS = 5;
const TIMEOUT_MS = 600_000;
const START_MS_MAX = 60_000;

/** Describing may take this much of the slower of the two. */
const RATIO_MAX = 1.3;

/** Seconds. */
export interface DescribeFigures {
  readonly recipe: number;
  readonly openssl: number;
  readonly qemuImg: number;
}

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  await using bench = await openWorkbench(options);
  const layer = await chooseDisk(options);
  const socketDir = await bench.freshFolder('sockets');
  await using pool = createHashPool();
  const described = await describeOnce(options, layer, socketDir, pool);
  const packed = join(bench.folder, 'non-zero.raw');
  options.progress('openssl: the non-zero segments, end to end in one file');
  await using _packed = await packNonZero(options, layer, socketDir, described.recipe, packed);
  await using reader = await openPeerExport(options, packed, socketDir);
  const methods = {
    recipe: async () => void (await describeOnce(options, layer, socketDir, pool)),
    openssl: () => reader.hash(),
    qemuImg: () => convertToNothing(options, layer, described.recipe.virtualSizeBytes),
  };
  const figures = await alternate(options, methods);
  return report(basename(layer.path), figures, described);
}

/** Runs the methods in turn, a round at a time; the best time of each in seconds. */
async function alternate(
  options: BenchmarkOptions,
  methods: Readonly<Record<keyof DescribeFigures, () => Promise<void>>>,
): Promise<DescribeFigures> {
  const never = Number.POSITIVE_INFINITY;
  const best = { recipe: never, openssl: never, qemuImg: never };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const name of ['recipe', 'openssl', 'qemuImg'] as const) {
      options.signal.throwIfAborted();
      const start = performance.now();
      await methods[name]();
      const seconds = (performance.now() - start) / 1000;
      if (round === 0) continue;
      options.progress(`round ${round} of ${ROUNDS}: ${name} ${seconds.toFixed(3)} s`);
      best[name] = Math.min(best[name], seconds);
    }
  }
  return best;
}

/** The image that was named (its format by its ending), or the guest's disk. */
async function chooseDisk(options: BenchmarkOptions): Promise<DiskLayer> {
  if (options.image === undefined) {
    const { path, format } = (await ensureGuests([GUEST], options))[0]!.disk;
    return { path, format: parseDiskFormat(format) };
  }
  const path = resolve(options.image);
  return { path, format: parseDiskFormat(path.slice(path.lastIndexOf('.') + 1)) };
}

async function describeOnce(
  { runner, signal }: BenchmarkOptions,
  layer: DiskLayer,
  socketDir: string,
  pool: HashPool,
): Promise<DiskDescription> {
  const disk = await openDiskExport({ layers: [layer], socketDir, runner, signal });
  try {
    return await describeDisk({ ...disk, signal, pool, findsFree: true });
  } finally {
    await disk.close();
  }
}

/** Writes the non-zero segments end to end; the file goes when the result is disposed of. */
async function packNonZero(
  { runner, signal }: BenchmarkOptions,
  layer: DiskLayer,
  socketDir: string,
  recipe: Recipe,
  path: string,
): Promise<AsyncDisposable> {
  const disk = await openDiskExport({ layers: [layer], socketDir, runner, signal });
  const file = await open(path, 'wx', 0o600);
  try {
    const client = await connectNbd({ socketPath: disk.socketPath, signal });
    const buffer = new Uint8Array(SEGMENT_BYTES);
    for (const segment of buildRecipeIndex(recipe).segmentOfRow) {
      const view = buffer.subarray(0, segmentLengthBytes(recipe.virtualSizeBytes, segment));
      await client.read(view, segment * SEGMENT_BYTES);
      await file.write(view);
    }
    await client.close();
  } finally {
    await file.close();
    await disk.close();
  }
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}

interface PeerExport extends AsyncDisposable {
  /** Hashes the whole file through nbdcopy and a pipe. */
  hash(): Promise<void>;
}

/** An export as anybody would open it: plain qemu-nbd. */
async function openPeerExport(
  { runner, signal }: BenchmarkOptions,
  path: string,
  socketDir: string,
): Promise<PeerExport> {
  const socketPath = join(socketDir, 'peer.sock');
  const args = ['-r', '--persistent', '--shared=4', '-f', 'raw', '-k', socketPath, '--', path];
  const server = runner.start('qemu-nbd', args, { lifetime: 'with-parent', signal });
  const uri = `nbd+unix:///?socket=${encodeURIComponent(socketPath)}`;
  const pipe = 'set -o pipefail; nbdcopy -- "$1" - | openssl dgst -sha256';
  const hash = async (): Promise<void> => {
    await runner.run('bash', ['-c', pipe, 'bash', uri], { timeoutMs: TIMEOUT_MS, signal });
  };
  try {
    await waitUntilServed(server, socketPath, signal);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { hash, [Symbol.asyncDispose]: async () => void (await server.stop()) };
}

/** Returns when the server shakes hands: qemu-nbd binds its socket before it opens the file. */
async function waitUntilServed(
  server: RunningCommand,
  socketPath: string,
  signal: AbortSignal,
): Promise<void> {
  let ended: unknown;
  server.exited.then(
    ({ stderrTail }) => {
      ended = new VmdnError('unavailable', `qemu-nbd has ended: ${stderrTail}`);
    },
    (error: unknown) => {
      ended = error;
    },
  );
  const shakeHands = async (): Promise<true> => {
    await (await connectNbd({ socketPath, signal })).close();
    return true;
  };
  const watch = (): void => {
    if (ended !== undefined) throw ended;
  };
  await waitFor('qemu-nbd serves', shakeHands, { timeoutMs: START_MS_MAX, signal, watch });
}

async function convertToNothing(
  { runner, signal }: BenchmarkOptions,
  layer: DiskLayer,
  sizeBytes: number,
): Promise<void> {
  const target = `driver=null-co,size=${sizeBytes}`;
  const modes = ['-n', '--image-opts', '--target-image-opts'];
  const args = ['convert', ...modes, '--', blockOptions(layer), target];
  await runner.run('qemu-img', args, { timeoutMs: TIMEOUT_MS, signal });
}

function sizesOf(name: string, { recipe, withoutFree }: DiskDescription): string {
  const facts = (one: Recipe): string => {
    const segments = formatMegabytes(one.blockMasks.length * SEGMENT_BYTES);
    const blocks = formatMegabytes(nonZeroBytesOf(one));
    return `non-zero segments ${segments}, blocks ${blocks}, recipe ${formatMegabytes(recipeFileBytes(one))}`;
  };
  return [
    `${name}: virtual size ${formatMegabytes(recipe.virtualSizeBytes)}, ${facts(recipe)};`,
    `without free space: ${facts(withoutFree.recipe)}.`,
    `Best of ${ROUNDS} alternating rounds.`,
  ].join('\n');
}

function report(
  name: string,
  figures: DescribeFigures,
  described: DiskDescription,
): BenchmarkReport {
  const slower = Math.max(figures.openssl, figures.qemuImg);
  const ratio = figures.recipe / slower;
  const rows = [
    ['method', 'seconds', 'of the slower peer'],
    ['both recipes, digests and keysRoots', seconds(figures.recipe), percent(ratio)],
    [
      'openssl dgst -sha256 from nbdcopy',
      seconds(figures.openssl),
      percent(figures.openssl / slower),
    ],
    ['qemu-img convert to nothing', seconds(figures.qemuImg), percent(figures.qemuImg / slower)],
  ];
  const words = `Describing takes at most ${RATIO_MAX} times the slower of openssl and qemu-img.`;
  return {
    json: { recipe: figures.recipe, openssl: figures.openssl, qemuImg: figures.qemuImg },
    table: `${sizesOf(name, described)}\n\n${formatTable(rows)}`,
    plot: simplePlot(
      'Seconds to describe a disk, beside what reads the same bytes and does less',
      { recipe: figures.recipe, openssl: figures.openssl, 'qemu-img': figures.qemuImg },
      ['recipe'],
    ),
    promised: [{ words, holds: ratio <= RATIO_MAX }],
  };
}

const seconds = (value: number): string => value.toFixed(3);
const percent = (value: number): string => `${Math.round(value * 100)} %`;
