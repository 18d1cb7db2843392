import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blockTier, tierCode } from '../../domain/bitmap.ts';
import type { Digest } from '../../domain/digest.ts';
import { rawLayers } from '../../domain/layers.ts';
import { createMatcher } from '../../domain/match.ts';
import { buildPlan } from '../../domain/plan.ts';
import { ROW_DONE } from '../../domain/schedule.ts';
import { referenceRecipe, seededBytes } from '../../formats/recipe.fixture.ts';
import { NO_SLOT, type RowWork } from '../ports/disk-assembly.ts';
import { SegmentAssembler } from './segment-assembler.ts';

const BLOCK = 4096;
const SEGMENT = 65_536;
const ORIGIN = tierCode('origin');

let dir: string;
const assemblers: SegmentAssembler[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-assembler-'));
});

afterEach(async () => {
  for (const assembler of assemblers.splice(0)) assembler.close();
  await rm(dir, { recursive: true, force: true });
});

/** A disk of blocks, by number of the block; the rest is zero. */
function diskWith(blocks: number, contents: Readonly<Record<number, string>>): Uint8Array {
  const disk = new Uint8Array(blocks * BLOCK);
  for (const [block, seed] of Object.entries(contents)) {
    disk.set(seededBytes(seed, BLOCK), Number(block) * BLOCK);
  }
  return disk;
}

/** An assembler for a disk, with images, over an empty staging file and `slots` slots. */
async function assemblerFor(disk: Uint8Array, images: readonly Uint8Array[], slots = 4) {
  const wanted = referenceRecipe(disk);
  const matcher = createMatcher(wanted, { placesPerKey: 3, seed: 1 });
  const coveredBytes = images.map((image) => matcher.scan(referenceRecipe(image)));
  const local = images.map((image, i) => ({
    digest: String(i).padStart(64, '0') as Digest,
    name: null,
    layers: rawLayers(join(dir, `image-${i}`)),
    recipePath: '',
    virtualSizeBytes: image.length,
  }));
  await Promise.all(images.map((image, i) => writeFile(join(dir, `image-${i}`), image)));
  const stagingPath = join(dir, 'disk.raw');
  const file = await open(stagingPath, 'w');
  await file.truncate(disk.length);
  await file.close();
  const plan = buildPlan({
    digest: 'd'.repeat(64) as Digest,
    wanted,
    images: local,
    places: matcher.places(),
    coveredBytes,
  });
  const rows = wanted.blockMasks.length;
  const states = new Uint8Array(new SharedArrayBuffer(rows));
  const records = new Uint32Array(new SharedArrayBuffer(rows * 8));
  const arena = new SharedArrayBuffer(slots * SEGMENT);
  const assembler = new SegmentAssembler({
    ...{ plan, states, records, arena },
    staging: rawLayers(stagingPath),
  });
  assemblers.push(assembler);
  return { assembler, states, records, arena: new Uint8Array(arena), stagingPath };
}

function rowWork(row: number, work: Partial<RowWork> = {}): RowWork {
  return { row, slot: NO_SLOT, fresh: 0, staged: 0, self: 0, tier: ORIGIN, ...work };
}

const staged = async (path: string, segment: number) =>
  new Uint8Array((await readFile(path)).subarray(segment * SEGMENT, (segment + 1) * SEGMENT));

describe('assembling segments', () => {
  it('reads a run through zero blocks, and clears them: the image need not be zero there', async () => {
    const disk = diskWith(16, { 0: 'a', 3: 'b', 15: 'c' });
    const image = diskWith(20, { 2: 'a', 3: 'x', 4: 'y', 5: 'b', 9: 'z', 17: 'c' });
    const { assembler, stagingPath } = await assemblerFor(disk, [image]);
    const { verified, shortages } = assembler.assemble([rowWork(0)]);
    expect([[...verified], shortages]).toEqual([[0], []]);
    expect(await staged(stagingPath, 0)).toEqual(disk);
  });

  it('never touches a slot that it was not given', async () => {
    const disk = diskWith(32, { 0: 'fresh', 3: 'a', 18: 'b', 21: 'fresh too' });
    // In slots 0 and 2 the local blocks lie as far apart as in the image: a run, were it not for slot 1.
    const image = diskWith(40, { 3: 'a', 34: 'b' });
    const { assembler, arena } = await assemblerFor(disk, [image]);
    arena.fill(7, SEGMENT, 2 * SEGMENT);
    arena.set(seededBytes('fresh', BLOCK), 0);
    arena.set(seededBytes('fresh too', BLOCK), 2 * SEGMENT + 5 * BLOCK);
    const { verified } = assembler.assemble([
      rowWork(0, { slot: 0, fresh: 1 }),
      rowWork(1, { slot: 2, fresh: 1 << 5 }),
    ]);
    expect([...verified]).toEqual([0, 1]);
    expect(arena.subarray(SEGMENT, 2 * SEGMENT).every((byte) => byte === 7)).toBe(true);
  });

  it('records the tier of every block, repetitions by their first copy', async () => {
    const disk = diskWith(32, { 0: 'fresh', 1: 'local', 2: 'fresh', 16: 'fresh' });
    const { assembler, records, states, arena } = await assemblerFor(disk, [
      diskWith(1, { 0: 'local' }),
    ]);
    arena.set(seededBytes('fresh', BLOCK), 0);
    assembler.assemble([rowWork(0, { slot: 0, fresh: 1, self: 0b100 })]);
    states[0] = ROW_DONE;
    assembler.assemble([rowWork(1, { self: 1 })]);
    const tiers = (row: number) => [0, 1, 2, 3].map((block) => blockTier(records, row, block));
    const [zero, local] = [tierCode('zero'), tierCode('local')];
    expect(tiers(0)).toEqual([ORIGIN, local, ORIGIN, zero]);
    expect(tiers(1)).toEqual([ORIGIN, zero, zero, zero]);
  });

  it('I2: names what a segment lacks, keeps what is good, and completes it from there', async () => {
    const disk = diskWith(16, { 0: 'a', 1: 'b', 2: 'c' });
    const { assembler, arena, stagingPath } = await assemblerFor(disk, [disk]);
    await writeFile(join(dir, 'image-0'), diskWith(16, { 0: 'a', 1: 'rot', 2: 'c' }));
    const first = assembler.assemble([rowWork(0)]);
    expect(first.verified).toHaveLength(0);
    expect(first.shortages).toEqual([
      { row: 0, staged: 0b101, lacks: 0b010, repeats: 0, isRemoteAtFault: false },
    ]);
    expect(first.mismatches).toEqual([{ image: 0, block: 1, reason: 'wrong_block' }]);
    // Now the image is gone altogether: what was good lies in the staging file.
    await rm(join(dir, 'image-0'));
    arena.set(seededBytes('b', BLOCK), BLOCK);
    const second = assembler.assemble([rowWork(0, { slot: 0, fresh: 0b010, staged: 0b101 })]);
    expect([...second.verified]).toEqual([0]);
    expect(await staged(stagingPath, 0)).toEqual(disk);
  });

  it('takes another place when the planned one is wrong, and names the wrong one', async () => {
    const disk = diskWith(16, { 0: 'a', 1: 'b' });
    const { assembler } = await assemblerFor(disk, [disk, diskWith(5, { 4: 'b' })]);
    await writeFile(join(dir, 'image-0'), diskWith(16, { 0: 'a', 1: 'rot' }));
    const { verified, mismatches } = assembler.assemble([rowWork(0)]);
    expect([...verified]).toEqual([0]);
    expect(mismatches).toEqual([{ image: 0, block: 1, reason: 'wrong_block' }]);
  });

  it('says `read_failed` of an image that is not there', async () => {
    const disk = diskWith(16, { 0: 'a' });
    const { assembler } = await assemblerFor(disk, [disk]);
    await rm(join(dir, 'image-0'));
    const { shortages, mismatches } = assembler.assemble([rowWork(0)]);
    expect(shortages[0]).toMatchObject({ lacks: 1, staged: 0 });
    expect(mismatches).toEqual([{ image: 0, block: 0, reason: 'read_failed' }]);
  });

  it('takes a block from its first copy on this disk when its places are wrong', async () => {
    const disk = diskWith(32, { 0: 'a', 16: 'a', 17: 'b' });
    const { assembler, states } = await assemblerFor(disk, [diskWith(4, { 1: 'a', 3: 'b' })]);
    expect([...assembler.assemble([rowWork(0)]).verified]).toEqual([0]);
    await writeFile(join(dir, 'image-0'), diskWith(4, { 3: 'b' }));
    const before = assembler.assemble([rowWork(1)]);
    expect(before.shortages[0]).toMatchObject({ staged: 0b10, lacks: 0, repeats: 0b01 });
    states[0] = ROW_DONE;
    expect([...assembler.assemble([rowWork(1)]).verified]).toEqual([1]);
  });

  it('checks what a staging file holds, and clears stale data where zeros belong', async () => {
    const disk = diskWith(48, { 0: 'a', 32: 'b' });
    const { assembler, stagingPath } = await assemblerFor(disk, []);
    const stale = disk.slice();
    stale[SEGMENT + 100] = 1;
    stale[2 * SEGMENT]! ^= 1;
    await writeFile(stagingPath, stale);
    expect(assembler.check(0, 99)).toEqual({ verified: Uint32Array.of(0), zeroed: 1 });
    expect((await staged(stagingPath, 1)).every((byte) => byte === 0)).toBe(true);
  });
});
