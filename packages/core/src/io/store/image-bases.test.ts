import { mkdtemp, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest } from '../../domain/digest.ts';
import { BASE_FILE, OWN_FILE, ZERO_FILE } from '../../domain/layers.ts';
import { encodeSharedTables, sharedLayout } from '../../formats/shared-qcow2.ts';
import { stageDisk, testDisk } from './image-store.fixture.ts';
import { openImageStore } from './image-store.ts';
import { listPartialImages } from './partial-images.ts';

const SEGMENT = 65_536;

type Store = Awaited<ReturnType<typeof openImageStore>>;

describe('an image that shares storage with another', () => {
  let root: string;
  const opened: AsyncDisposable[] = [];
  const quarantined: string[] = [];

  const openStore = async (): Promise<Store> => {
    const onQuarantine = (digest: string, reason: string): void =>
      void quarantined.push(`${digest}: ${reason}`);
    const store = await openImageStore({ root, quotaBytes: null, onQuarantine });
    opened.push(store);
    return store;
  };
  const reopen = async (store: Store): Promise<Store> => {
    await store[Symbol.asyncDispose]();
    return await openStore();
  };

  beforeEach(async () => {
    root = join(await mkdtemp(join(tmpdir(), 'vmdn-bases-')), 'store');
    quarantined.length = 0;
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store[Symbol.asyncDispose]();
    await rm(join(root, '..'), { recursive: true, force: true });
  });

  /** Segments 0, 3 and the short 5 as in the base; 1 zero in both; 2 its own; 4 zero over the base. */
  const COLUMN = Uint8Array.from([BASE_FILE, ZERO_FILE, OWN_FILE, BASE_FILE, ZERO_FILE, BASE_FILE]);

  const disks = () => {
    const below = testDisk('base');
    const disk = Buffer.from(below);
    disk.set(testDisk('own').subarray(2 * SEGMENT, 3 * SEGMENT), 2 * SEGMENT);
    disk.fill(0, 4 * SEGMENT, 5 * SEGMENT);
    return { below, disk };
  };

  /** Lays a shared disk in staging, as the sync engine leaves it. */
  async function stageShared(store: Store, disk: Buffer, base: Digest, column = COLUMN) {
    const adoption = await stageDisk(store, disk);
    const { dataAt, fileBytes } = sharedLayout(disk.length);
    await rm(join(adoption.stagingDir, 'disk.raw'));
    await using file = await open(join(adoption.stagingDir, 'disk.qcow2'), 'wx');
    await file.truncate(fileBytes);
    const shared = { virtualSizeBytes: disk.length, base, fileOfSegment: column };
    for (const { offset, bytes } of encodeSharedTables(shared)) {
      await file.write(bytes, 0, bytes.length, offset);
    }
    await file.write(disk, 2 * SEGMENT, SEGMENT, dataAt + 2 * SEGMENT);
    return adoption;
  }

  async function withShared() {
    const store = await openStore();
    const { below, disk } = disks();
    const base = await store.adopt(await stageDisk(store, below));
    const image = await store.adopt(await stageShared(store, disk, base.digest));
    return { store, base, image, disk };
  }

  async function readWhole(store: Store, digest: Digest, length: number): Promise<Uint8Array> {
    const served = await store.open(digest);
    const bytes = new Uint8Array(length);
    // In odd pieces: across segments, files and ends.
    for (let at = 0; at < length; at += 50_000) {
      await served.readInto(bytes.subarray(at, Math.min(length, at + 50_000)), at);
    }
    await expect(served.readInto(new Uint8Array(1), length)).rejects.toMatchObject({
      code: 'corrupt',
    });
    await served.release();
    return bytes;
  }

  async function flipByte(path: string, at: number): Promise<void> {
    const bytes = await readFile(path);
    await using file = await open(path, 'r+');
    await file.write(Buffer.from([bytes[at]! ^ 1]), 0, 1, at);
  }

  it('is served by its guest-visible bytes, also after a restart', async () => {
    const { store, base, image, disk } = await withShared();
    expect(image).toMatchObject({ format: 'qcow2', base: base.digest });
    expect(Buffer.compare(await readWhole(store, image.digest, disk.length), disk)).toBe(0);
    const again = await reopen(store);
    expect(again.find(image.digest)).toEqual(image);
    expect(Buffer.compare(await readWhole(again, image.digest, disk.length), disk)).toBe(0);
    // One segment and the tables; what lies in the base is not counted twice.
    expect(image.allocatedBytes).toBeLessThan(base.allocatedBytes + 4 * SEGMENT);
  });

  it('I4: is not handed out when its base was changed: both go, what it had goes to staging', async () => {
    const { store, base, image } = await withShared();
    await flipByte(base.path, 3 * SEGMENT + 100);
    await expect(store.open(image.digest)).rejects.toMatchObject({ code: 'not_found' });
    expect(store.list()).toEqual([]);
    expect(quarantined).toEqual([
      `${base.digest}: segment 3 has other bytes`,
      `${image.digest}: the image that it shares storage with is not held any more`,
    ]);
    expect(await readdir(join(root, 'quarantine'))).toHaveLength(2);
    expect(await store.stagings()).toEqual([image.digest]);
    const kept = await readFile(join(store.stagingDir(image.digest), 'disk.qcow2'));
    const { dataAt } = sharedLayout(disks().disk.length);
    const own = kept.subarray(dataAt + 2 * SEGMENT, dataAt + 3 * SEGMENT);
    expect(Buffer.compare(own, disks().disk.subarray(2 * SEGMENT, 3 * SEGMENT))).toBe(0);
  });

  it('stays when its base was restored with the same bytes', async () => {
    const { store, base, image } = await withShared();
    await utimes(base.path, 1, 1);
    expect(await store.intact(image.digest)).toEqual(image);
    expect(quarantined).toEqual([]);
  });

  it.each([
    ['a byte of its own segment', (size: number) => size - 4 * SEGMENT + 9, 'segment 2'],
    ['a bit of its tables', () => 64, 'header'],
  ])('goes to quarantine alone when %s was changed', async (_, place, reason) => {
    const { store, base, image } = await withShared();
    await flipByte(image.path, place((await stat(image.path)).size));
    await expect(store.intact(image.digest)).rejects.toMatchObject({ code: 'corrupt' });
    expect(store.list()).toEqual([base]);
    expect(quarantined[0]).toContain(reason);
  });

  it('I3: goes at the start when its base is gone', async () => {
    const { store, base, image } = await withShared();
    await rename(join(root, 'images', base.digest), join(root, 'elsewhere'));
    const again = await reopen(store);
    expect(again.list()).toEqual([]);
    expect(quarantined).toHaveLength(1);
    expect(await again.stagings()).toEqual([image.digest]);
  });

  it('is not adopted on a base that is not held, is damaged, or shares storage itself', async () => {
    const { store, base, image, disk } = await withShared();
    const other = Buffer.from(disk);
    other.fill(7, 2 * SEGMENT, 3 * SEGMENT);
    const onShared = await stageShared(store, other, image.digest);
    await expect(store.adopt(onShared)).rejects.toMatchObject({ code: 'conflict' });
    await store.removeStaging(onShared.digest);
    await flipByte(base.path, 100);
    const onDamaged = await stageShared(store, other, base.digest);
    await expect(store.adopt(onDamaged)).rejects.toMatchObject({ code: 'conflict' });
    await expect(store.adopt(onDamaged)).rejects.toMatchObject({ code: 'conflict' });
    expect(store.list()).toEqual([]);
  });

  it('I2: is not adopted when a zero segment is left to the base', async () => {
    const store = await openStore();
    const { below, disk } = disks();
    const base = await store.adopt(await stageDisk(store, below));
    const column = COLUMN.with(4, BASE_FILE);
    const adoption = await stageShared(store, disk, base.digest, column);
    await expect(store.adopt(adoption)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('in the making is a source by its tables where it has some, by its own file where not', async () => {
    const store = await openStore();
    const { below, disk } = disks();
    const base = await store.adopt(await stageDisk(store, below));
    const { stagingDir, digest } = await stageShared(store, disk, base.digest);
    expect(await listPartialImages(store), 'nothing says how large it is').toEqual([]);
    const state = { schema: 'vmdn-staging/1', digest, virtualSizeBytes: disk.length, inode: '1' };
    const generation = '0b6f5a4e-0d6c-4c61-8a43-111111111111';
    await (await open(join(stagingDir, 'state'), 'w')).writeFile(
      JSON.stringify({ ...state, generation }),
    );
    const [whole] = await listPartialImages(store);
    expect(whole?.layers).toMatchObject({
      files: [{}, { path: base.path }],
      fileOfSegment: COLUMN,
    });
    await flipByte(join(stagingDir, 'disk.qcow2'), 64);
    const [torn] = await listPartialImages(store);
    expect(torn?.layers).toMatchObject({ files: [{}], fileOfSegment: null });
  });
});
