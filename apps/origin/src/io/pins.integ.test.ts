import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import { digestOfRecipe } from '@vmdn/core/formats/disk-digest.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { describeDisk } from '@vmdn/core/io/hashing/describe-disk.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LockedDisk, SourceLocks } from '../ports.ts';
import { openPins } from './pins.ts';
import { createSourceLocks } from './source-locks.ts';

const runner = createCommandRunner();
const signal = new AbortController().signal;
const MIB = 2 ** 20;
let dir: string;
let locks: SourceLocks;
let locked: LockedDisk;
let recipe: Recipe;
const content = Buffer.alloc(6 * MIB + 512);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-pins-'));
  for (let at = 0; at < content.length; at += 3 * 65_536)
    content.fill(at % 251, at, Math.min(at + 70_000, content.length));
  content[content.length - 1] = 7;
  await writeFile(join(dir, 'source'), content);
  // In a format that no reflink is made of, so that the copy is tested whatever the file system can.
  await runner.run(
    'qemu-img',
    ['convert', '-O', 'vdi', join(dir, 'source'), join(dir, 'disk.vdi')],
    {
      timeoutMs: 30_000,
    },
  );
  locks = createSourceLocks({ runner, socketDir: join(dir, 's') });
  locked = await locks.lock(disk());
  ({ recipe } = await describeDisk(locked));
});
afterEach(async () => {
  await locks[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const disk = () => ({ layers: [{ path: join(dir, 'disk.vdi'), format: 'vdi' as const }] });

describe('a pin', () => {
  it('is the disk, bit for bit, as sparse as it is, and found again by the next process', async () => {
    const digest = digestOfRecipe(recipe);
    const pins = await openPins(join(dir, 'pins'));
    await pins.make({ digest, recipe, disk: disk() }, locked, signal);
    const [pin] = [...(await openPins(join(dir, 'pins'))).list()];
    expect(pin).toEqual([digest, { path: join(dir, 'pins', `${digest}.raw`), format: 'raw' }]);
    const copy = await readFile(pin![1].path);
    expect(Buffer.compare(copy.subarray(0, content.length), content)).toBe(0);
    expect((await stat(pin![1].path)).blocks * 512).toBeLessThan(content.length);
    await pins.remove(digest);
    expect(await readdir(join(dir, 'pins'))).toEqual([]);
  });

  it('I1: of a disk that is not as described is not made, and leaves nothing', async () => {
    const other: Recipe = { ...recipe, segmentHashes: Uint8Array.from(recipe.segmentHashes) };
    other.segmentHashes[40]! ^= 1;
    const pins = await openPins(join(dir, 'pins'));
    const digest = digestOfRecipe(other);
    const making = pins.make({ digest, recipe: other, disk: disk() }, locked, signal);
    await expect(making).rejects.toMatchObject({ code: 'withdrawn' });
    expect([pins.list().size, await readdir(join(dir, 'pins'))]).toEqual([0, []]);
  });

  it('I2: that a crash left unfinished is swept', async () => {
    await openPins(join(dir, 'pins'));
    await writeFile(join(dir, 'pins', `${digestOfRecipe(recipe)}.vmdn-tmp`), 'half');
    const pins = await openPins(join(dir, 'pins'));
    expect([pins.list().size, await readdir(join(dir, 'pins'))]).toEqual([0, []]);
  });

  it('can be cancelled, and leaves nothing', async () => {
    const pins = await openPins(join(dir, 'pins'));
    const digest = digestOfRecipe(recipe);
    const making = pins.make({ digest, recipe, disk: disk() }, locked, AbortSignal.abort());
    await expect(making).rejects.toMatchObject({ code: 'cancelled' });
    expect(await readdir(join(dir, 'pins'))).toEqual([]);
  });
});
