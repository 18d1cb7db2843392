import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { parseDigest } from '../../domain/digest.ts';
import { parseName } from '../../domain/names.ts';
import { nonZeroBytesOf } from '../../domain/recipe.ts';
import { referenceRecipe } from '../../formats/recipe.fixture.ts';
import { takeOwnerLock } from '../files/owner-lock.ts';
import { stageDisk, testDisk } from './image-store.fixture.ts';
import { openImageStore } from './image-store.ts';
import { nonZeroRuns } from './stage-export.ts';

describe('the image store', () => {
  let root: string;
  const opened: AsyncDisposable[] = [];
  const quarantined: string[] = [];

  const openStore = async (quotaBytes: number | null = null) => {
    const onQuarantine = (digest: string, reason: string): void =>
      void quarantined.push(`${digest}: ${reason}`);
    const store = await openImageStore({ root, quotaBytes, onQuarantine });
    opened.push(store);
    return store;
  };
  const reopen = async (store: AsyncDisposable) => {
    await store[Symbol.asyncDispose]();
    return await openStore();
  };

  beforeEach(async () => {
    root = join(await mkdtemp(join(tmpdir(), 'vmdn-store-')), 'store');
    quarantined.length = 0;
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store[Symbol.asyncDispose]();
    await rm(join(root, '..'), { recursive: true, force: true });
  });

  it('adopts a verified disk, serves its bytes, and still has it after a restart', async () => {
    const store = await openStore();
    const disk = testDisk('adopt');
    const adoption = await stageDisk(store, disk);
    const image = await store.adopt(adoption);
    expect(image.nonZeroBytes).toBe(nonZeroBytesOf(referenceRecipe(disk)));
    expect(await store.stagings()).toEqual([]);
    expect((await readdir(join(root, 'images', image.digest))).sort()).toEqual([
      'disk.raw',
      'image.json',
      'recipe',
    ]);
    const again = await reopen(store);
    expect(again.list()).toEqual([image]);
    const served = await again.open(image.digest);
    const target = new Uint8Array(disk.length);
    await served.readInto(target, 0);
    expect(Buffer.compare(target, disk)).toBe(0);
    await expect(served.readInto(new Uint8Array(1), disk.length)).rejects.toMatchObject({
      code: 'corrupt',
    });
    await served.release();
  });

  it('adopts the same disk twice as one image, and lets a name be given later', async () => {
    const store = await openStore();
    const disk = testDisk('twice');
    await store.adopt(await stageDisk(store, disk));
    const name = parseName('debian-12-base', 'image');
    const again = await store.adopt({ ...(await stageDisk(store, disk)), name, kind: 'base' });
    expect(store.list()).toEqual([again]);
    expect(again).toMatchObject({ name, kind: 'base' });
    expect((await reopen(store)).list()).toEqual([again]);
  });

  it('I3: finishes an adoption that was cut off right after the rename', async () => {
    const store = await openStore();
    const image = await store.adopt(await stageDisk(store, testDisk('cut')));
    await writeFile(join(root, 'images', image.digest, 'bitmap'), 'left by the engine');
    const again = await reopen(store);
    expect(again.list()).toEqual([image]);
    expect(await readdir(join(root, 'images', image.digest))).not.toContain('bitmap');
  });

  it('I3: keeps what a delivery left in staging, and sweeps what an import left', async () => {
    const store = await openStore();
    const { digest } = await stageDisk(store, testDisk('kept'));
    await mkdir(join(root, 'staging', 'import-1'));
    expect(await (await reopen(store)).stagings()).toEqual([digest]);
  });

  it('refuses a staged disk that is not what its recipe says, and keeps nothing of it', async () => {
    const store = await openStore();
    const adoption = await stageDisk(store, testDisk('right'));
    const other = parseDigest('ab'.repeat(32));
    await expect(store.adopt({ ...adoption, digest: other })).rejects.toMatchObject({
      code: 'corrupt',
    });
    await writeFile(join(adoption.stagingDir, 'disk.raw'), Buffer.alloc(512));
    await expect(store.adopt(adoption)).rejects.toMatchObject({ code: 'corrupt' });
    expect(store.list()).toEqual([]);
  });

  it('quarantines an image that was changed behind its back, before anybody reads it', async () => {
    const store = await openStore();
    const { digest, path } = await store.adopt(await stageDisk(store, testDisk('changed')));
    const bytes = await readFile(path);
    bytes[4 * 65_536] = bytes[4 * 65_536]! ^ 1;
    await writeFile(path, bytes);
    const reads = [store.open(digest), store.intact(digest)];
    for (const read of await Promise.allSettled(reads)) {
      expect(read).toMatchObject({ status: 'rejected', reason: { code: 'corrupt' } });
    }
    expect(quarantined).toEqual([`${digest}: segment 4 has other bytes`]);
    await expect(store.open(digest)).rejects.toMatchObject({ code: 'not_found' });
    expect(await readdir(join(root, 'quarantine'))).toEqual([`${digest}.1`]);
  });

  it.each([
    ['a byte in a hole', (bytes: Buffer) => bytes.fill(1, 65_536, 65_537), 'segment 1'],
    ['a cut end', (bytes: Buffer) => bytes.subarray(0, -512), 'another length'],
    ['a longer end', (bytes: Buffer) => Buffer.concat([bytes, bytes]), 'another length'],
  ])('notices %s', async (_, change, reason) => {
    const store = await openStore();
    const { digest, path } = await store.adopt(await stageDisk(store, testDisk('hole')));
    await writeFile(path, change(await readFile(path)));
    await expect(store.intact(digest)).rejects.toMatchObject({ code: 'corrupt' });
    expect(quarantined[0]).toContain(reason);
  });

  it('takes a file back that was restored with the same bytes and other times', async () => {
    const store = await openStore();
    const { digest, path } = await store.adopt(await stageDisk(store, testDisk('restored')));
    await utimes(path, 1, 1);
    expect(await store.intact(digest)).toMatchObject({ digest });
    expect(quarantined).toEqual([]);
  });

  it('starts in order: records that do not parse and missing files go to quarantine', async () => {
    const store = await openStore();
    const [one, two, three] = [
      await store.adopt(await stageDisk(store, testDisk('one'))),
      await store.adopt(await stageDisk(store, testDisk('two'))),
      await store.adopt(await stageDisk(store, testDisk('three'))),
    ];
    await writeFile(join(root, 'images', one.digest, 'image.json'), '{"schema":"vmdn-image/1"}');
    await rm(two.path);
    await mkdir(join(root, 'images', 'not-a-digest'));
    expect((await reopen(store)).list()).toEqual([three]);
    expect(quarantined).toHaveLength(2);
    expect(await readdir(join(root, 'images'))).toEqual([three.digest]);
  });

  it('never takes one image for another: a renamed directory is refused', async () => {
    const store = await openStore();
    const { digest } = await store.adopt(await stageDisk(store, testDisk('moved')));
    const other = 'cd'.repeat(32);
    await rename(join(root, 'images', digest), join(root, 'images', other));
    expect((await reopen(store)).list()).toEqual([]);
    expect(quarantined[0]).toContain(other);
  });

  it('keeps the newest eight in quarantine', async () => {
    const store = await openStore();
    for (let round = 0; round < 10; round += 1) {
      const { digest } = await store.adopt(await stageDisk(store, testDisk(`bad ${round}`)));
      await store.quarantine(digest, `round ${round}`);
    }
    const names = (await readdir(join(root, 'quarantine'))).map((name) =>
      Number(name.split('.')[1]),
    );
    expect(names.sort((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('I1: two stagings of one disk that are adopted at once are one image', async () => {
    const store = await openStore();
    const disk = testDisk('twice');
    const delivered = await stageDisk(store, disk);
    const stagingDir = store.stagingDir('import-1');
    await cp(delivered.stagingDir, stagingDir, { recursive: true });
    const name = parseName('base', 'image');
    const both = await Promise.all([
      store.adopt(delivered),
      store.adopt({ ...delivered, stagingDir, name, kind: 'base' }),
    ]);
    const { digest } = delivered;
    expect(both).toMatchObject([{ digest }, { digest, name: 'base', kind: 'base' }]);
    expect(await store.stagings()).toEqual([]);
    expect((await reopen(store)).list()).toMatchObject([{ digest, name: 'base' }]);
  });

  it('an adoption that fails does not hold up the next one of its disk', async () => {
    const store = await openStore();
    const adoption = await stageDisk(store, testDisk('retried'));
    const stagingDir = store.stagingDir('import-1');
    const failing = store.adopt({ ...adoption, stagingDir });
    const next = store.adopt(adoption);
    await expect(failing).rejects.toMatchObject({ code: 'not_found' });
    expect(await next).toMatchObject({ digest: adoption.digest });
  });

  it('removes an image for good: its bytes are gone, and it can come again', async () => {
    const store = await openStore();
    const disk = testDisk('removed');
    const { digest } = await store.adopt(await stageDisk(store, disk));
    const removing = store.remove(digest);
    // Nobody finds it from this moment on.
    expect(store.list()).toEqual([]);
    await removing;
    for (const folder of ['images', 'staging', 'quarantine']) {
      expect(await readdir(join(root, folder))).toEqual([]);
    }
    await expect(store.remove(digest)).rejects.toMatchObject({ code: 'not_found' });
    const again = await store.adopt(await stageDisk(store, disk));
    expect((await reopen(store)).find(digest)?.digest).toBe(again.digest);
  });

  it('I1, I3: a kill while an image is removed leaves it whole or gone', async () => {
    const store = await openStore();
    const { digest } = await store.adopt(await stageDisk(store, testDisk('half')));
    await rename(join(root, 'images', digest), join(root, 'staging', `removed-${digest}`));
    const after = await reopen(store);
    expect([after.list(), await after.stagings(), quarantined]).toEqual([[], [], []]);
  });

  it('tells listeners of every change', async () => {
    const store = await openStore();
    let changes = 0;
    const kinds: string[] = [];
    const stop = store.onChange((kind) => {
      changes += 1;
      kinds.push(kind);
    });
    const { digest } = await store.adopt(await stageDisk(store, testDisk('heard')));
    await store.rename(digest, parseName('base', 'image'));
    await store.quarantine(digest, 'because');
    expect(changes).toBe(3);
    expect(kinds).toEqual(['snapshot', 'base', 'base']);
    const packed = await stageDisk(store, testDisk('package'));
    await store.adopt({ ...packed, kind: 'package' });
    await store.remove(packed.digest);
    expect(kinds.slice(3)).toEqual(['package', 'package']);
    changes = 3;
    stop();
    await store.adopt(await stageDisk(store, testDisk('unheard')));
    expect(changes).toBe(3);
  });
});

describe('room in the store', () => {
  const MEBIBYTE = 1024 * 1024;
  const open = async (quotaBytes: number | null) => {
    const root = await mkdtemp(join(tmpdir(), 'vmdn-room-'));
    const store = await openImageStore({ root, quotaBytes });
    onTestFinished(async () => {
      await store[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    });
    return { root, store };
  };

  it('is promised once: two that fit alone but not together are told so before a byte moves', async () => {
    const { store } = await open(10 * MEBIBYTE);
    const reserve = (key: string) => store.reserve({ key, bytes: 6 * MEBIBYTE, paths: [] });
    const results = await Promise.allSettled([reserve('one'), reserve('two')]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(results[1]).toMatchObject({ reason: { code: 'no_room' } });
    await reserve('one');
    store.release('one');
    await reserve('two');
    expect(await store.space()).toMatchObject({ reservedBytes: 6 * MEBIBYTE });
  });

  it('counts what was written of a promise as used, not twice', async () => {
    const { root, store } = await open(10 * MEBIBYTE);
    const path = join(root, 'staging', 'x');
    await store.reserve({ key: 'x', bytes: 6 * MEBIBYTE, paths: [path] });
    await writeFile(path, Buffer.alloc(4 * MEBIBYTE, 1), { flush: true });
    const written = (await stat(path)).blocks * 512;
    const space = await store.space();
    expect(space.usedBytes).toBe(written);
    expect(space.reservedBytes).toBe(6 * MEBIBYTE - written);
    expect(space.freeBytes).toBe(4 * MEBIBYTE);
  });

  it('is what the file system has, when there is no quota', async () => {
    const { store } = await open(null);
    const { freeBytes } = await store.space();
    await expect(
      store.reserve({ key: 'x', bytes: freeBytes + 1024 * MEBIBYTE, paths: [] }),
    ).rejects.toMatchObject({ code: 'no_room' });
  });
});

describe('the owner lock', () => {
  const lockFile = async (): Promise<string> => {
    const dir = await mkdtemp(join(tmpdir(), 'vmdn-lock-'));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    return join(dir, 'owner.lock');
  };

  it('I1: is given to one, in this process too, and to the next when it is let go', async () => {
    const path = await lockFile();
    const lock = takeOwnerLock(path);
    expect(() => takeOwnerLock(path, 50)).toThrow(expect.objectContaining({ code: 'conflict' }));
    lock[Symbol.dispose]();
    takeOwnerLock(path)[Symbol.dispose]();
  });

  it('is free again at once after its process was killed', async () => {
    const path = await lockFile();
    const module = fileURLToPath(new URL('../files/owner-lock.ts', import.meta.url));
    const script = `import { takeOwnerLock } from ${JSON.stringify(module)};
      // Held by a name: a lock that nobody can reach any more is collected, and let go.
      globalThis.lock = takeOwnerLock(${JSON.stringify(path)});
      process.stdout.write('held'); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script]);
    onTestFinished(() => void holder.kill('SIGKILL'));
    await once(holder.stdout, 'data');
    expect(() => takeOwnerLock(path, 50)).toThrow(expect.objectContaining({ code: 'conflict' }));
    const ended = once(holder, 'exit');
    holder.kill('SIGKILL');
    await ended;
    takeOwnerLock(path, 0)[Symbol.dispose]();
  });
});

describe('runs of blocks that are not zero', () => {
  it('cover exactly the blocks that hold a byte', () => {
    const disk = testDisk('runs');
    const covered = new Set<number>();
    for (const [start, count] of nonZeroRuns(referenceRecipe(disk))) {
      for (let block = start; block < start + count; block += 1) covered.add(block);
    }
    for (let block = 0; block * 4096 < disk.length; block += 1) {
      const isNonZero = disk.subarray(block * 4096, (block + 1) * 4096).some((byte) => byte !== 0);
      expect(covered.has(block), `block ${block}`).toBe(isNonZero);
    }
  });
});
