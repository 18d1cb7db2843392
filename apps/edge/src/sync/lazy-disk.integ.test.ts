import { open, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import { rowsInPlace } from '@vmdn/core/domain/share.ts';
import { BLOCKS_PER_SEGMENT, SEGMENT_BYTES } from '@vmdn/core/domain/units.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { serveNbd } from '@vmdn/core/io/nbd/nbd-server.ts';
import type { ExportedDisk } from '@vmdn/core/io/ports/exported-disk.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import { GuestReads } from './guest-reads.ts';
import { LazyDisk } from './lazy-disk.ts';
import {
  DiskRoom,
  diskOf,
  imageOf,
  planOf,
  range,
  type StoredDisk,
  sourceOf,
} from './sync.fixture.ts';

const runner = createCommandRunner();
const never = new AbortController().signal;
const SEGMENTS = 256;
const COMPARE = ['compare', '-f', 'raw', '-F', 'raw'];
const ZEROS = Array<number>(BLOCKS_PER_SEGMENT).fill(0);
let room: DiskRoom;
let engine: SyncEngine;

beforeAll(async () => {
  room = await DiskRoom.open();
  engine = createSyncEngine({ assembleWorkers: 2 });
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await room?.close();
});

/** A third of the segments are those of `base` in place, one is zero over them; the last block is short. */
function contentsOver(base: readonly number[]): number[] {
  const contents = range(1, SEGMENTS * BLOCKS_PER_SEGMENT);
  for (let segment = 0; segment < SEGMENTS; segment += 3) {
    const from = segment * BLOCKS_PER_SEGMENT;
    contents.splice(from, BLOCKS_PER_SEGMENT, ...base.slice(from, from + BLOCKS_PER_SEGMENT));
  }
  contents.splice(9 * BLOCKS_PER_SEGMENT, BLOCKS_PER_SEGMENT, ...ZEROS);
  return contents;
}

/** Serves a disk by NBD under two names; `areWaiting`: under each a read waits for what is not there yet. */
async function serveTwice(disk: LazyDisk, reads: GuestReads) {
  const waiting = { copy: Promise.withResolvers<void>(), compare: Promise.withResolvers<void>() };
  const names = ['copy', 'compare'] as const;
  const find = (wish: string): ExportedDisk | undefined => {
    const name = names.find((known) => known === wish);
    if (name === undefined) return undefined;
    const watched = reads.watch(disk, 0);
    const read: ExportedDisk['read'] = (...asked) => {
      waiting[name].resolve();
      return watched.read(...asked);
    };
    return { ...watched, read };
  };
  const socketPath = join(room.path('nbd'), 's');
  const server = await serveNbd({
    place: { socketPath },
    exports: { find, names: () => names },
    onReadError: (_, error) => expect(error).toBeUndefined(),
  });
  return {
    areWaiting: Promise.all([waiting.copy.promise, waiting.compare.promise]),
    urlOf: (name: (typeof names)[number]) => `nbd+unix:///${name}?socket=${socketPath}`,
    close: () => server.close(),
  };
}

/** Copies the disk by nbdcopy, compares it by qemu-img, both while it is being made. */
async function readMeanwhile(
  plan: DiskPlan,
  wanted: StoredDisk,
  stagingDir: string,
): Promise<void> {
  const disk = new LazyDisk(wanted.recipe);
  const reads = new GuestReads();
  const server = await serveTwice(disk, reads);
  const copy = room.path('copy.raw');
  let served = 0;
  // A link on which reads overtake: every chunk waits for its turn.
  const source = sourceOf(wanted.bytes, {
    chunkBytes: SEGMENT_BYTES,
    onChunk: async () => {
      served += 1;
      await new Promise((resolve) => setImmediate(resolve));
    },
  });
  const request = { plan, stagingDir, sources: [source], signal: never };
  const stop = new AbortController();
  const how = { timeoutMs: 300_000, signal: stop.signal };
  const flags = ['--connections=4', '--request-size=65536'];
  const copied = runner.run('nbdcopy', [...flags, '--', server.urlOf('copy'), copy], how);
  const paths = [wanted.path, server.urlOf('compare')];
  const compared = runner.run('qemu-img', [...COMPARE, '--', ...paths], how);
  const tools = Promise.all([compared, copied]);
  try {
    // The tools begin before there is anything to read.
    await Promise.race([server.areWaiting, tools]);
    const synced = engine.sync({ ...request, reading: { disk, bootTrace: [200, 100, 5] } });
    const [[{ stdout }]] = await Promise.all([tools, synced]);
    expect(stdout).toMatch(/identical/);
    expect(Buffer.compare(await readFile(copy), wanted.bytes)).toBe(0);
    expect(served).toBeGreaterThan(0);
    expect(reads.stalls.seconds(performance.now())).toBeGreaterThan(0);
  } finally {
    stop.abort();
    await Promise.allSettled([copied, compared]);
    await server.close();
    await disk.close();
  }
}

describe('a disk read by NBD while it is made', { timeout: 600_000 }, () => {
  const base = range(100_000, SEGMENTS * BLOCKS_PER_SEGMENT);

  it('I1: is right where it comes from a local image and from a source', async () => {
    const image = await room.store(diskOf([77, ...base]));
    const wanted = await room.store(diskOf(contentsOver(base), 1536));
    const plan = await planOf(engine, wanted, [imageOf(image)]);
    await readMeanwhile(plan, wanted, room.path('staging'));
  });

  it('I1: is right where it shares storage with its base', async () => {
    const image = await room.store(diskOf(base));
    await symlink(dirname(image.path), join(room.dir, image.digest));
    const wanted = await room.store(diskOf(contentsOver(base), 1536));
    const plan = await planOf(engine, wanted, [imageOf(image)]);
    const share = { image: 0, ...rowsInPlace(wanted.recipe, image.recipe) };
    await readMeanwhile({ ...plan, share }, wanted, room.path('staging'));
  });

  it('I1: is right over what a killed sync left, and somebody spoilt', async () => {
    const wanted = await room.store(diskOf(contentsOver(base), 1536));
    const plan = await planOf(engine, wanted, []);
    const stagingDir = room.path('staging');
    const stop = new AbortController();
    const half = sourceOf(wanted.bytes, {
      chunkBytes: SEGMENT_BYTES,
      onChunk: () => {
        if (half.sentBlocks.length > (SEGMENTS / 2) * BLOCKS_PER_SEGMENT) stop.abort();
      },
    });
    const first = engine.sync({ plan, stagingDir, sources: [half], signal: stop.signal });
    await expect(first).rejects.toMatchObject({ code: 'cancelled' });
    const file = await open(join(stagingDir, 'disk.raw'), 'r+');
    for (const segment of [1, 9, 40]) {
      await file.write(Buffer.alloc(4096, 0x66), 0, 4096, segment * SEGMENT_BYTES + 8192);
    }
    await file.close();
    await readMeanwhile(plan, wanted, stagingDir);
  });
});
