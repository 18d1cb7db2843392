import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../domain/digest.ts';
import type { DiskLayer } from '../../domain/disk-format.ts';
import type { Id } from '../../domain/names.ts';
import { nonZeroBytesOf } from '../../domain/recipe.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import { keysRootOfRecipe } from '../../formats/key-pages.ts';
import { referenceRecipe } from '../../formats/recipe.fixture.ts';
import { encodeRecipe } from '../../formats/recipe.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { createQemuImg } from '../command/qemu-img.ts';
import { startDiskOwner } from '../disk-export/disk-owner.fixture.ts';
import { createHashPool, type HashPool } from '../hashing/hash-pool.ts';
import { createDiskInspector } from '../inspect/inspect-guest.ts';
import type { CaptureVm } from '../ports/capture-vm.ts';
import type { ImageStore, StoredImage } from '../ports/image-store.ts';
import { createCaptureVm } from './capture-vm.ts';
import { stageDisk, testDisk } from './image-store.fixture.ts';
import { openImageStore } from './image-store.ts';

const SEGMENT = 65_536;
const BLOCK = 4096;
const DISK = testDisk('delivered');
const runner = createCommandRunner();
const qemuImg = createQemuImg(runner);
const timeoutMs = 60_000;
let dir: string;
let store: ImageStore & AsyncDisposable;
let pool: HashPool;
let captureVm: CaptureVm;
let base: StoredImage;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-capture-'));
  store = await openImageStore({ root: join(dir, 'store'), quotaBytes: 2 ** 30 });
  pool = createHashPool({ workerCount: 2 });
  const inspect = createDiskInspector({ runner, workDir: join(dir, 'work') });
  captureVm = createCaptureVm({ store, runner, socketDir: join(dir, 'run'), pool, inspect });
  base = await store.adopt(await stageDisk(store, DISK));
});
afterAll(async () => {
  await pool.close();
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

const layersOf = ({ format, layers }: StoredImage): DiskLayer[] =>
  layers.files.map(({ path }, depth) => ({ path, format: depth === 0 ? format : 'raw' }));

/** What a guest wrote, as qemu-io says it, into a new overlay on an image. */
async function overlayOn(image: StoredImage, ...writes: readonly string[]): Promise<DiskLayer[]> {
  const path = join(dir, `${randomUUID()}.qcow2`);
  const [backing] = layersOf(image);
  const { virtualSizeBytes } = image;
  await qemuImg.createOverlay({ path, backing: backing!, virtualSizeBytes });
  const commands = writes.flatMap((write) => ['-c', write]);
  await runner.run('qemu-io', ['-f', 'qcow2', ...commands, '--', path], { timeoutMs });
  return [{ path, format: 'qcow2' }, ...layersOf(image)];
}

function orderOf(disks: readonly DiskLayer[][], signal = AbortSignal.timeout(timeoutMs)) {
  const said: string[] = [];
  const onProgress = (words: string): void => void said.push(words);
  const made: Digest[] = [];
  const willMake = async (digest: Digest): Promise<void> => {
    expect(store.find(digest), 'I5: it is not there yet').toBeUndefined();
    made.push(digest);
  };
  return { id: randomUUID() as Id, disks, signal, onProgress, willMake, said, made };
}

/** The guest-visible bytes of an image, by a program that is not ours. */
async function contentOf({ path, format }: StoredImage): Promise<Buffer> {
  const copy = join(dir, `copy-${randomUUID()}.raw`);
  await qemuImg.convert({ from: { path, format }, to: { path: copy, format: 'raw' } });
  return await readFile(copy);
}

const hashOf = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

async function expectNothingLeft(): Promise<void> {
  expect(await readdir(join(dir, 'store', 'staging'))).toEqual([]);
  expect(await readdir(join(dir, 'run'))).toEqual([]);
  expect((await store.space()).reservedBytes).toBe(0);
}

/** Writes into segment 2, fills the zero segment 1, makes segment 4 zero. */
const WRITES = [
  `write -P 0x11 ${2 * SEGMENT + 3 * BLOCK} ${BLOCK}`,
  `write -P 0x22 ${SEGMENT} ${2 * BLOCK}`,
  `write -z ${4 * SEGMENT} ${SEGMENT}`,
];

function written(): Buffer {
  const disk = Buffer.from(DISK);
  disk.fill(0x11, 2 * SEGMENT + 3 * BLOCK, 2 * SEGMENT + 4 * BLOCK);
  disk.fill(0x22, SEGMENT, SEGMENT + 2 * BLOCK);
  disk.fill(0, 4 * SEGMENT, 5 * SEGMENT);
  return disk;
}

describe('a capture', { timeout: 120_000 }, () => {
  it('I3: has the digest of all that the guest sees, and reads only what was written', async () => {
    const overlay = await overlayOn(base, ...WRITES);
    const before = await hashOf(overlay[0]!.path);
    const order = orderOf([overlay]);
    const { disks, guest, readBytes, ownBytes } = await captureVm(order);
    const expected = written();
    const recipe = referenceRecipe(expected);
    expect(disks).toEqual([
      {
        digest: digestOfRecipe(recipe),
        virtualSizeBytes: expected.length,
        nonZeroBytes: nonZeroBytesOf(recipe),
        keysRoot: keysRootOfRecipe(recipe),
        recipeBytes: encodeRecipe(recipe).length,
      },
    ]);
    const image = await store.intact(disks[0]!.digest);
    expect(image).toMatchObject({ base: base.digest, kind: 'snapshot', name: null });
    expect((await contentOf(image)).equals(expected)).toBe(true);
    // Segments 1 and 2, of which two blocks and all are not zero; that 4 is zero needs no reading.
    expect([readBytes, ownBytes]).toEqual([2 * SEGMENT, SEGMENT + 2 * BLOCK]);
    expect(guest.os).toBeNull();
    expect(order.said).toContain('disk 1 of 1: copying what is new');
    expect(await hashOf(overlay[0]!.path), 'I2: the overlay is only read').toBe(before);
    await expectNothingLeft();
  });

  it('of a VM whose image shares storage stands on the same base as that', async () => {
    const first = await captureVm(orderOf([await overlayOn(base, ...WRITES)]));
    const shared = await store.intact(first.disks[0]!.digest);
    expect(shared.format).toBe('qcow2');
    const overlay = await overlayOn(shared, `write -P 0x33 0 ${BLOCK}`);
    const { disks, readBytes } = await captureVm(orderOf([overlay]));
    expect(readBytes).toBe(SEGMENT);
    const expected = written().fill(0x33, 0, BLOCK);
    const image = await store.intact(disks[0]!.digest);
    expect(image).toMatchObject({
      base: base.digest,
      digest: digestOfRecipe(referenceRecipe(expected)),
    });
    expect((await contentOf(image)).equals(expected)).toBe(true);
  });

  it('of a functional copy, which has no recipe, is read whole and stands on the same image', async () => {
    const [copy] = await overlayOn(base, `write -P 0x12 ${2 * SEGMENT} ${SEGMENT}`);
    const path = join(dir, 'above-copy.qcow2');
    const { virtualSizeBytes } = base;
    await qemuImg.createOverlay({ path, backing: copy!, virtualSizeBytes });
    const write = `write -P 0x13 0 ${BLOCK}`;
    await runner.run('qemu-io', ['-f', 'qcow2', '-c', write, '--', path], { timeoutMs });
    const layers: DiskLayer[] = [{ path, format: 'qcow2' }, copy!, ...layersOf(base)];
    const { disks, readBytes } = await captureVm(orderOf([layers]));
    const expected = Buffer.from(DISK)
      .fill(0x12, 2 * SEGMENT, 3 * SEGMENT)
      .fill(0x13, 0, BLOCK);
    const image = await store.intact(disks[0]!.digest);
    expect(image).toMatchObject({
      ...{ base: base.digest, digest: digestOfRecipe(referenceRecipe(expected)) },
    });
    expect(readBytes).toBeGreaterThan(2 * SEGMENT);
    expect((await contentOf(image)).equals(expected)).toBe(true);
  });

  it('of a disk that stands on no image of the store is one on its own', async () => {
    const path = join(dir, 'alone.qcow2');
    const { virtualSizeBytes } = base;
    const raw: DiskLayer = { path: join(dir, 'alone.raw'), format: 'raw' };
    await runner.run('cp', ['--', base.path, raw.path], { timeoutMs });
    await qemuImg.createOverlay({ path, backing: raw, virtualSizeBytes });
    await runner.run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x44 0 4096', '--', path], {
      timeoutMs,
    });
    const { disks } = await captureVm(orderOf([[{ path, format: 'qcow2' }, raw]]));
    const image = await store.intact(disks[0]!.digest);
    expect(image).toMatchObject({ base: null, format: 'raw' });
    expect((await contentOf(image)).equals(Buffer.from(DISK).fill(0x44, 0, BLOCK))).toBe(true);
  });

  it('I4: is the delivered image when nothing was written, and copies nothing twice', async () => {
    const clean = await captureVm(orderOf([await overlayOn(base)]));
    expect(clean).toMatchObject({ disks: [{ digest: base.digest }], ownBytes: 0 });
    const overlay = await overlayOn(base, 'write -P 0x55 0 8192');
    const [order, repeated] = [orderOf([overlay]), orderOf([overlay])];
    const first = await captureVm(order);
    const again = await captureVm(repeated);
    expect(again.disks).toEqual(first.disks);
    expect(order.made).toEqual(first.disks.map(({ digest }) => digest));
    expect(repeated.made, 'I5: of one that is there nobody is told').toEqual([]);
    expect([first.ownBytes > 0, again.ownBytes]).toEqual([true, 0]);
  });

  it('I1: takes all disks of a VM, and none while one of them may still be written to', async () => {
    const idle = await overlayOn(base, 'write -P 0x66 0 4096');
    const busy = await overlayOn(base, 'write -P 0x77 0 4096');
    const before = store.list().length;
    const owner = await startDiskOwner(runner, busy[0]!, join(dir, 'busy.sock'));
    try {
      const captured = captureVm(orderOf([idle, busy]));
      await expect(captured).rejects.toMatchObject({ code: 'source_running' });
      expect(store.list().length).toBe(before);
    } finally {
      await owner.stop();
    }
    const { disks } = await captureVm(orderOf([idle, busy]));
    expect(disks.map(({ digest }) => store.find(digest)?.base)).toEqual([base.digest, base.digest]);
    await expectNothingLeft();
  });

  it('leaves nothing behind when it is cancelled, or the store has no room', async () => {
    const overlay = await overlayOn(base, 'write -P 0x88 0 4096');
    const before = store.list().length;
    const refused = {
      ...orderOf([overlay]),
      willMake: () => Promise.reject(new Error('no record')),
    };
    await expect(captureVm(refused), 'I5').rejects.toThrow('no record');
    await expectNothingLeft();
    const stop = new AbortController();
    const order = orderOf([overlay], stop.signal);
    const onProgress = (words: string): void => {
      if (words.includes('copying')) stop.abort();
    };
    await expect(captureVm({ ...order, onProgress })).rejects.toMatchObject({ code: 'cancelled' });
    await expectNothingLeft();
    await store.reserve({ key: 'import-all', bytes: (await store.space()).freeBytes, paths: [] });
    try {
      await expect(captureVm(orderOf([overlay]))).rejects.toMatchObject({ code: 'no_room' });
    } finally {
      store.release('import-all');
    }
    expect(store.list().length).toBe(before);
    await expectNothingLeft();
  });
});
