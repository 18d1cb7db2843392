import { open, readFile, rename, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BASE_FILE, OWN_FILE, ZERO_FILE } from '@vmdn/core/domain/layers.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import { rowsInPlace } from '@vmdn/core/domain/share.ts';
import { sharedLayout } from '@vmdn/core/formats/shared-qcow2.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { readSharedTables } from '@vmdn/core/io/files/shared-file.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSyncEngine, type SyncEngine } from './create-sync-engine.ts';
import {
  blockOf,
  DiskRoom,
  diskOf,
  imageOf,
  planOf,
  range,
  type StoredDisk,
  sourceOf,
} from './sync.fixture.ts';

const never = new AbortController().signal;
const qemuImg = createQemuImg(createCommandRunner());
const ZEROS = Array<number>(16).fill(0);
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

/** Eight segments of the base in place, one zero over its data, one that differs, a short last one. */
const BASE = range(1000, 11 * 16);
const WANTED = [...range(1000, 128), ...ZEROS, ...range(1, 16), ...range(1160, 15), 17];

/** A base where a store would have it, seen from a staging directory in the room. */
async function storeBase(contents: readonly number[]): Promise<StoredDisk> {
  const base = await room.store(diskOf(contents));
  await symlink(dirname(base.path), join(room.dir, base.digest)).catch(() => undefined);
  return base;
}

/** A plan that shares whatever lies in place, however little that is. */
async function sharingPlan(wanted: StoredDisk, base: StoredDisk): Promise<DiskPlan> {
  const plan = await planOf(engine, wanted, [imageOf(base)]);
  return { ...plan, share: { image: 0, ...rowsInPlace(wanted.recipe, base.recipe) } };
}

async function sync(plan: DiskPlan, wanted: StoredDisk, stagingDir: string) {
  const origin = sourceOf(wanted.bytes);
  const result = await engine.sync({ plan, stagingDir, sources: [origin], signal: never });
  return { ...result, sent: origin.sentBlocks };
}

/** The guest-visible bytes by QEMU, which reads the file's own header. */
async function readByQemu(path: string): Promise<Uint8Array> {
  const copy = { path: room.path('copy.raw'), format: 'raw' } as const;
  await qemuImg.convert({ from: { path, format: 'qcow2' }, to: copy });
  return await readFile(copy.path);
}

async function expectSame(path: string, wanted: StoredDisk): Promise<void> {
  expect(Buffer.compare(await readByQemu(path), wanted.bytes)).toBe(0);
  expect(await qemuImg.check({ path, format: 'qcow2' })).toBe('clean');
}

describe('a disk that shares storage with its base', { timeout: 600_000 }, () => {
  it('writes only what differs, zeros over the base, and is read by QEMU as its source', async () => {
    const base = await storeBase(BASE);
    const wanted = await room.store(diskOf(WANTED, 1536));
    const result = await sync(await sharingPlan(wanted, base), wanted, room.path('staging'));
    expect(result.path).toMatch(/disk\.qcow2$/);
    expect(result.sent).toEqual([...range(9 * 16, 16), 10 * 16 + 15]);
    const local = (8 * 16 + 15) * 4096;
    expect(result.delivery.diskBytes).toMatchObject({ zero: 65_536, local, origin: 65_536 + 1536 });
    const tables = await readSharedTables(result.path, wanted.bytes.length);
    expect(tables.base).toBe(base.digest);
    const inBase = Array<number>(8).fill(BASE_FILE);
    expect([...tables.fileOfSegment]).toEqual([...inBase, ZERO_FILE, OWN_FILE, OWN_FILE]);
    await expectSame(result.path, wanted);
    // Two segments of its own and five clusters of tables, against eleven segments.
    const { blocks } = await stat(result.path);
    expect(blocks * 512).toBeLessThanOrEqual(7 * 65_536);
  });

  it('is not the source any more when a zero over the base is left to the base', async () => {
    const base = await storeBase(BASE);
    const wanted = await room.store(diskOf(WANTED, 1536));
    const { path } = await sync(await sharingPlan(wanted, base), wanted, room.path('staging'));
    const disk = await open(path, 'r+');
    const { l2At } = sharedLayout(wanted.bytes.length);
    await disk.write(Buffer.alloc(8), 0, 8, l2At + 8 * 8);
    await disk.close();
    const read = await readByQemu(path);
    const isSame = (from: number, to: number) =>
      Buffer.compare(read.subarray(from, to), wanted.bytes.subarray(from, to)) === 0;
    expect(isSame(0, 8 * 65_536)).toBe(true);
    expect(isSame(8 * 65_536, 9 * 65_536)).toBe(false);
  });

  it('fetches a segment that the base has other bytes for, and counts it', async () => {
    const base = await storeBase(BASE);
    const wanted = await room.store(diskOf(WANTED, 1536));
    const plan = await sharingPlan(wanted, base);
    const file = await open(base.path, 'r+');
    await file.write(Buffer.from([base.bytes[3 * 65_536 + 9000]! ^ 1]), 0, 1, 3 * 65_536 + 9000);
    await file.close();
    const result = await sync(plan, wanted, room.path('staging'));
    expect(result.mismatches).toContainEqual(
      expect.objectContaining({
        source: base.digest,
        reason: 'wrong_base',
        count: 1,
        firstBlock: 48,
      }),
    );
    expect(result.sent).toContain(3 * 16 + 2);
    await expectSame(result.path, wanted);
  });

  it('does not take a segment for the base’s whose zero blocks are not zero there', async () => {
    const contents = [...range(2000, 15), 0, ...range(2100, 32)];
    const base = await storeBase(contents);
    const wanted = await room.store(diskOf([...contents.slice(0, 32), ...range(1, 16)]));
    const plan = await sharingPlan(wanted, base);
    const file = await open(base.path, 'r+');
    await file.write(blockOf(7), 0, 4096, 15 * 4096);
    await file.close();
    const result = await sync(plan, wanted, room.path('staging'));
    expect(result.mismatches).toMatchObject([{ reason: 'wrong_base', count: 1 }]);
    expect(result.sent).toEqual(range(32, 16));
    await expectSame(result.path, wanted);
  });

  it('goes on where it was, trusts what was closed in order, and only for the same base', async () => {
    const base = await storeBase(BASE);
    const wanted = await room.store(diskOf(WANTED, 1536));
    const stagingDir = room.path('staging');
    const plan = await sharingPlan(wanted, base);
    const first = await sync(plan, wanted, stagingDir);
    const again = await sync(plan, wanted, stagingDir);
    expect([again.sent, again.delivery]).toEqual([[], first.delivery]);
    // The base is gone: what was shared is made anew, what is the disk's own stays.
    await rename(base.path, `${base.path}.gone`);
    const alone = await sync(await planOf(engine, wanted, []), wanted, stagingDir);
    expect(alone.sent).toEqual(range(0, 128));
    expect((await readSharedTables(alone.path, wanted.bytes.length)).base).toBeNull();
    await expectSame(alone.path, wanted);
  });

  it('is a source for other disks by its guest-visible bytes', async () => {
    const base = await storeBase(BASE);
    const wanted = await room.store(diskOf(WANTED, 1536));
    const made = await sync(await sharingPlan(wanted, base), wanted, room.path('staging'));
    const { fileOfSegment } = await readSharedTables(made.path, wanted.bytes.length);
    const offsetBytes = (await stat(made.path)).size - 11 * 65_536;
    const files = [
      { path: made.path, offsetBytes },
      { path: base.path, offsetBytes: 0 },
    ];
    const image = { ...imageOf(wanted), layers: { files, fileOfSegment } };
    const other = await room.store(diskOf([...range(1010, 100), ...ZEROS, ...range(3, 10), 99]));
    const plan = await planOf(engine, other, [image]);
    const { sent, mismatches, path } = await sync(plan, other, room.path('staging'));
    expect([sent, mismatches]).toEqual([[126], []]);
    expect(Buffer.compare(await readFile(path), other.bytes)).toBe(0);
  });

  it('is chosen by the plan when most of it lies in place in an image that may be shared', async () => {
    const bytesOf = (seed: number) => (segment: number) =>
      segment === 1024 ? blockOf(seed) : blockOf(segment + 1);
    const base = await room.storeSparse(1100 * 65_536, bytesOf(7));
    const wanted = await room.storeSparse(1100 * 65_536, bytesOf(8));
    const shared = { ...imageOf(base), canBeShared: true };
    expect((await planOf(engine, wanted, [shared])).share).toMatchObject({
      image: 0,
      rowCount: 1099,
    });
    expect((await planOf(engine, wanted, [imageOf(base)])).share).toBeNull();
  });
});
