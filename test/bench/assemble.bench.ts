/**
 * Room: test, bench. Putting a disk together when all its blocks are in the edge's own images, verified and
 * durable, beside `cp --sparse=always` of the same disk and `sync -d`.
 *
 * I1: nothing of the wanted disk lies where it is wanted: the edge's image has a block of its own before it.
 *     For the figure `shared` it has that block behind it, so that all of it lies in place.
 * I2: a figure counts only when the disk is right: by SHA-256 of what QEMU reads of it, each time.
 * I3: rounds alternate, the first is thrown away (it warms the page cache and starts the threads), and each
 *     method's figure is its best round. Planning is not on the clock: an edge has its plan beforehand.
 */

import { randomBytes } from 'node:crypto';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { nonZeroBytesOf } from '@vmdn/core/domain/recipe.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import { decodeRecipe } from '@vmdn/core/formats/recipe.ts';
import { type DiskFile, guestVisibleSha256 } from '@vmdn/infra/lab/disk-proof.ts';
import { createImageUses } from '../../apps/edge/src/services/image-uses.ts';
import { createPlanner } from '../../apps/edge/src/services/planner.ts';
import { createSyncEngine, type SyncEngine } from '../../apps/edge/src/sync/create-sync-engine.ts';
import { ASSEMBLE_METHODS, assembleReport } from './assemble-report.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { ensureGuests } from './guests.ts';
import { NOTHING_MEASURED, openStore, type Store } from './store.ts';
import { type Disk, openWorkbench, type Workbench } from './workbench.ts';

const GUEST = 'web-01';
const ROUNDS = 5;
const TIMEOUT_MS = 600_000;

/** Delivers once, durably and proved; the seconds that count. */
type Delivery = () => Promise<number>;

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  await using bench = await openWorkbench(options);
  const [guest] = await ensureGuests([GUEST], options);
  const disk = await bench.disk(guest!);
  await using wanted = await openStore(options, bench, disk);
  await using moved = await paddedStore(options, bench, disk, 'before');
  await using inPlace = await paddedStore(options, bench, disk, 'behind');
  await using engine = createSyncEngine();
  const common = { options, engine, disk, wanted };
  const nonZeroBytes = nonZeroBytesOf(
    decodeRecipe(new Uint8Array(await readFile(wanted.image.recipePath))),
  );
  const methods = {
    vmdn: await assembly({ ...common, edge: moved, sharesInPlace: false }),
    cp: await copy(options, bench, disk),
    shared: await assembly({ ...common, edge: inPlace, sharesInPlace: true }),
  };
  const best = { vmdn: Infinity, cp: Infinity, shared: Infinity };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const name of ASSEMBLE_METHODS) {
      options.signal.throwIfAborted();
      const seconds = await methods[name]();
      if (round === 0) continue;
      options.progress(`round ${round} of ${ROUNDS}: ${name} ${seconds.toFixed(3)} s`);
      best[name] = Math.min(best[name], seconds);
    }
  }
  return assembleReport({ guest: GUEST, nonZeroBytes, seconds: best });
}

/** An edge's store with an image that has the disk's blocks, and one of its own before or behind them. */
async function paddedStore(
  options: BenchmarkOptions,
  bench: Workbench,
  disk: Disk,
  where: 'before' | 'behind',
): Promise<Store> {
  const folder = await bench.freshFolder(where);
  const path = join(folder, 'disk.raw');
  const isBefore = where === 'before';
  const { runner, signal } = options;
  const block = join(folder, 'block');
  await writeFile(block, randomBytes(BLOCK_BYTES));
  const dd = (from: string, seek: number): Promise<unknown> => {
    const flags = ['bs=4096', 'conv=notrunc,sparse', 'status=none'];
    const args = [`if=${from}`, `of=${path}`, `seek=${seek}`, ...flags];
    return runner.run('dd', args, { timeoutMs: TIMEOUT_MS, signal });
  };
  await dd(disk.rawPath, isBefore ? 1 : 0);
  await dd(block, isBefore ? 0 : disk.sizeBytes / BLOCK_BYTES);
  await truncate(path, disk.sizeBytes + BLOCK_BYTES);
  const store = await openStore(options, bench, { name: where, rawPath: path });
  await rm(folder, { recursive: true });
  return store;
}

/** VMDN's way: planned now, beforehand; assembled by the edge's own engine each time. */
async function assembly(task: {
  readonly options: BenchmarkOptions;
  readonly engine: SyncEngine;
  readonly disk: Disk;
  readonly wanted: Store;
  readonly edge: Store;
  readonly sharesInPlace: boolean;
}): Promise<Delivery> {
  const { engine, edge, disk, sharesInPlace } = task;
  const { signal } = task.options;
  const { digest, recipePath } = task.wanted.image;
  const partialImages = async () => [];
  const planner = createPlanner({
    uses: createImageUses(),
    engine,
    store: edge,
    partialImages,
    sharesInPlace,
    ratios: NOTHING_MEASURED,
  });
  const plan = await planner.plan(digest, recipePath, signal);
  if ((plan.share !== null) !== sharesInPlace) {
    throw new VmdnError('internal', 'The plan does not do what is to be measured.');
  }
  // Where the finished disk would be, so that its header's name of the base is right.
  const stagingDir = join(dirname(dirname(edge.image.path)), digest);
  return async () => {
    const { path, seconds } = await engine.sync({ plan, stagingDir, sources: [], signal });
    await prove({ path, format: path.endsWith('qcow2') ? 'qcow2' : 'raw' }, disk);
    await rm(stagingDir, { recursive: true });
    return seconds;
  };
}

async function copy(options: BenchmarkOptions, bench: Workbench, disk: Disk): Promise<Delivery> {
  const path = join(await bench.freshFolder('copy'), 'disk.raw');
  const { runner, signal } = options;
  const timing = { timeoutMs: TIMEOUT_MS, signal };
  return async () => {
    const start = performance.now();
    await runner.run('cp', ['--sparse=always', '--', disk.rawPath, path], timing);
    await runner.run('sync', ['-d', '--', path], timing);
    const seconds = (performance.now() - start) / 1000;
    await prove({ path, format: 'raw' }, disk);
    await rm(path);
    return seconds;
  };
}

/** I2. */
async function prove(result: DiskFile, disk: Disk): Promise<void> {
  if ((await guestVisibleSha256(result)) === disk.sha256) return;
  throw new VmdnError('corrupt', `What was put together is not ${disk.name}'s disk.`);
}
