/**
 * Disks without their free space, as an origin describes and serves them: a file is written to a small ext4
 * volume and deleted, without mounting it, and must not leave.
 */

import { appendFile, copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { wantedDisks } from '@vmdn/core/domain/skip-free.ts';
import {
  debugfs,
  type ExtDisk,
  fsck,
  makeExtDisk,
  SECRET,
} from '@vmdn/core/io/inspect/free-space.fixture.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  copiesLeft,
  makeOrigin,
  putSpecification,
  runner,
  type TestOrigin,
  traceOf,
} from './origin.fixture.ts';

const MIB = 2 ** 20;
const soon = { timeout: 180_000, interval: 50 };
// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 900_000 });
const quick = { rescanMs: 300, retryMs: 300 };
const FILES = ['ls -lp /', 'stat /kept', 'cat /kept', 'cat /late', 'cat /etc/hostname'];
let origin: TestOrigin;
afterEach(async () => await origin[Symbol.asyncDispose]());

async function putGuest(): Promise<ExtDisk> {
  const disk = await makeExtDisk(runner, origin.dir, {
    ...{ name: 'guest.raw', mkfs: ['-t', 'ext4', '-b', '1024'] },
    ...{ layout: 'label: dos\nstart=63, type=83\n', offsetBytes: 63 * 512 },
  });
  const path = join(origin.vmsDir, 'guest.raw');
  await copyFile(disk.path, path);
  await putSpecification(origin, 'guest', { disks: [{ file: 'guest.raw', format: 'raw' }] });
  return { ...disk, path };
}

async function described(state = 'live', version = 1): Promise<Description> {
  const key = `guest/${version}`;
  await vi.waitFor(() => expect(origin.coordinator.told.get(key)?.state).toBe(state), soon);
  return origin.coordinator.told.get(key)!.description;
}

/** The disk as an edge gets it: every block asked for, and the recipe verified. */
async function delivered(description: Description, skipFree: boolean): Promise<Buffer> {
  const disks = wantedDisks(description.disks, skipFree);
  return Buffer.from(await origin.readDisk({ ...description, disks }));
}

/** One block as the wire brings it. */
async function block(digest: Digest, index: number, virtualSizeBytes: number): Promise<Buffer> {
  const got: Uint8Array[] = [];
  await origin.client.readBlocks({
    ...{ url: origin.url, holder: origin.coordinator.originId, digest, virtualSizeBytes },
    grant: await origin.grant(digest),
    runs: Uint32Array.of(index, 1),
    onBlocks: (_start, _count, data) => void got.push(data.slice()),
  });
  return Buffer.concat(got);
}

describe('a disk without its free space', () => {
  it('has every file of the disk and not the one that was deleted', async () => {
    origin = await makeOrigin(quick);
    const source = await putGuest();
    const before = await traceOf(source.path);
    await origin.start();
    const description = await described();
    const [disk] = description.disks;
    expect(disk?.skipFree?.kept).toEqual([]);
    expect(disk!.nonZeroBytes - disk!.skipFree!.nonZeroBytes).toBeGreaterThan(3 * MIB - 8192);
    expect(disk!.skipFree!.recipeBytes).toBeLessThan(disk!.recipeBytes);
    const whole = await delivered(description, false);
    expect(whole.includes(SECRET)).toBe(true);
    expect(whole.equals(await readFile(source.path))).toBe(true);
    const less = await delivered(description, true);
    expect(less.includes(SECRET)).toBe(false);
    const copy = { ...source, path: join(origin.dir, 'copy.raw') };
    await writeFile(copy.path, less);
    expect(await fsck(runner, copy)).toBe(0);
    const files = await debugfs(runner, copy, ...FILES);
    const reference = { ...source, path: join(origin.dir, 'guest.raw') };
    expect(files).toBe(await debugfs(runner, reference, ...FILES));
    expect(await traceOf(source.path)).toBe(before);
  });

  it('I3: gives zeros for a free block that somebody asks for by its digest', async () => {
    origin = await makeOrigin(quick);
    const source = await putGuest();
    await origin.start();
    const { digest, skipFree, virtualSizeBytes } = (await described()).disks[0]!;
    const bytes = await readFile(source.path);
    const at = Math.floor(bytes.indexOf(SECRET) / 4096) + 2;
    const found = await block(digest, at, virtualSizeBytes);
    expect(found.includes(SECRET)).toBe(true);
    expect(await block(skipFree!.digest, at, virtualSizeBytes)).toEqual(Buffer.alloc(4096));
    // At the border the first block of the file system that is free shares its block of the disk with one
    // that is not.
    const border = Math.floor(bytes.indexOf(SECRET) / 4096);
    const both = await block(skipFree!.digest, border, virtualSizeBytes);
    expect(both.includes(SECRET)).toBe(false);
  });

  it('I3: is served after a restart, and not at all while its map of free space is missing', async () => {
    origin = await makeOrigin(quick);
    const source = await putGuest();
    await origin.start();
    const description = await described();
    const first = await delivered(description, true);
    const isServed = async (): Promise<void> =>
      await vi.waitFor(async () => {
        expect((await delivered(description, true)).equals(first)).toBe(true);
      }, soon);
    await origin.stop();
    await origin.start();
    await isServed();
    expect(origin.coordinator.told.size).toBe(1);
    const maps = join(origin.settings.stateDir, 'cache', 'free');
    for (const name of await readdir(maps)) await rm(join(maps, name));
    await expect(delivered(description, true)).rejects.toMatchObject({ code: 'unavailable' });
    await isServed();
    expect((await readFile(source.path)).includes(SECRET)).toBe(true);
  });

  it('comes from the copy of a version that was pinned, and from nowhere when it was withdrawn', async () => {
    origin = await makeOrigin(quick);
    const source = await putGuest();
    await origin.start({ pin: 'while-teleporting' });
    const description = await described();
    const { skipFree } = description.disks[0]!;
    const first = await delivered(description, true);
    await origin.readBlock(skipFree!.digest, description.disks[0]!.virtualSizeBytes, {
      ...{ purpose: 'teleport', teleport: crypto.randomUUID() as never, epoch: 1 },
    });
    await described('pinned');
    await appendFile(source.path, Buffer.alloc(4096));
    await described('live', 2);
    await described('pinned', 1);
    expect((await delivered(description, true)).equals(first)).toBe(true);
    await origin.stop();
    await origin.start({ pin: 'never' });
    await described('withdrawn', 1);
    await copiesLeft(origin, 0);
    await expect(delivered(description, true)).rejects.toMatchObject({ code: 'withdrawn' });
  });

  it('is the disk itself where nothing is understood, and says why', async () => {
    origin = await makeOrigin(quick);
    await writeFile(join(origin.vmsDir, 'guest.raw'), Buffer.alloc(8 * MIB, 'no file system'));
    await putSpecification(origin, 'guest', { disks: [{ file: 'guest.raw', format: 'raw' }] });
    await origin.start();
    const [disk] = (await described()).disks;
    expect(disk!.skipFree).toMatchObject({
      digest: disk!.digest,
      nonZeroBytes: disk!.nonZeroBytes,
      kept: ['whole disk: what it holds is not understood'],
    });
  });
});
