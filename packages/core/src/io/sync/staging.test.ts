import { mkdtemp, open, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setBlockTier, tierCode } from '../../domain/bitmap.ts';
import { createMatcher } from '../../domain/match.ts';
import { buildPlan, type DiskPlan } from '../../domain/plan.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import { referenceRecipe, seededBytes } from '../../formats/recipe.fixture.ts';
import { encodeRecipe } from '../../formats/recipe.ts';
import { BITMAP_SLOT_BYTES, ROWS_PER_PAGE, wireNoteOffset } from '../../formats/staging-bitmap.ts';
import type { StagingArea } from '../ports/disk-assembly.ts';
import { createStagingAreas, readStagingState } from './staging.ts';

const areas = createStagingAreas();
let dir: string;
let plan: DiskPlan;

function planOfDisk(disk: Uint8Array): DiskPlan {
  const wanted = referenceRecipe(disk);
  const places = createMatcher(wanted, { placesPerKey: 1, seed: 1 }).places();
  const digest = digestOfRecipe(wanted);
  return buildPlan({ digest, wanted, images: [], places, coveredBytes: [] });
}

beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), 'vmdn-staging-')), 'one');
  plan = planOfDisk(seededBytes('a', 4 * 65_536 + 512));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(join(dir, '..'), { recursive: true, force: true });
});

/** Records that give every block of a row the tier `origin`. */
function claim(area: StagingArea, rows: readonly number[]): Uint32Array {
  const records = area.records.slice();
  for (const row of rows) {
    for (let block = 0; block < (row === 4 ? 1 : 16); block += 1) {
      setBlockTier(records, row, block, tierCode('origin'));
    }
  }
  return records;
}

const claimedRows = (area: StagingArea) =>
  [0, 1, 2, 3, 4].filter((row) => (area.records[2 * row] ?? 0) !== 0);

describe('a staging directory', () => {
  it('begins empty: a sparse file of the right size, the recipe, a state that names the digest', async () => {
    const area = await areas.open(dir, plan);
    expect(area.condition).toBe('fresh');
    const { size, blocks, mode } = await stat(area.path);
    expect([size, blocks, mode & 0o777]).toEqual([4 * 65_536 + 512, 0, 0o600]);
    expect(new Uint8Array(await readFile(area.recipePath))).toEqual(encodeRecipe(plan.wanted));
    expect(await readStagingState(dir)).toMatchObject({
      digest: plan.digest,
      virtualSizeBytes: 4 * 65_536 + 512,
    });
    await area.close(true);
  });

  it('I2: is trusted after it was closed in order, with its records and wire bytes', async () => {
    const area = await areas.open(dir, plan);
    await area.commit([1, 4], claim(area, [1, 4]), [0, 0, 0, 5, 7]);
    await area.close(true);
    const again = await areas.open(dir, plan);
    expect(again.condition).toBe('trusted');
    expect(claimedRows(again)).toEqual([1, 4]);
    expect(again.wireBytes).toEqual([0, 0, 0, 5, 7]);
    await again.close(true);
  });

  it('I2: is doubtful after it was not closed in order, and says what it claims', async () => {
    const area = await areas.open(dir, plan);
    await area.commit([2], claim(area, [2]), [0, 0, 0, 0, 9]);
    await area.close(false);
    const again = await areas.open(dir, plan);
    expect([again.condition, claimedRows(again)]).toEqual(['doubtful', [2]]);
    await again.close(false);
  });

  it('I2: is doubtful as soon as it was opened again, until it is closed in order again', async () => {
    await (await areas.open(dir, plan)).close(true);
    await (await areas.open(dir, plan)).close(false);
    const again = await areas.open(dir, plan);
    expect(again.condition).toBe('doubtful');
    await again.close(true);
  });

  it('I2: is doubtful when disk.raw was written since, or is another file, or has another size', async () => {
    const wrongs = [
      async (path: string) => {
        const file = await open(path, 'r+');
        await file.write('x', 0);
        await file.close();
      },
      async (path: string) => {
        const bytes = await readFile(path);
        await rm(path);
        await writeFile(path, bytes);
      },
      async (path: string) => {
        const file = await open(path, 'r+');
        await file.truncate(65_536);
        await file.close();
      },
    ];
    for (const wrong of wrongs) {
      const area = await areas.open(dir, plan);
      await area.close(true);
      await wrong(area.path);
      const again = await areas.open(dir, plan);
      expect(again.condition).toBe('doubtful');
      expect((await stat(again.path)).size).toBe(4 * 65_536 + 512);
      await again.close(true);
    }
  });

  it('I3: believes nothing of another disk, and has its size at once', async () => {
    const area = await areas.open(dir, plan);
    await area.commit([0, 1], claim(area, [0, 1]), [0, 0, 0, 0, 9]);
    await area.close(true);
    const { generation } = (await readStagingState(dir))!;
    const other = await areas.open(dir, planOfDisk(seededBytes('b', 65_536)));
    expect([other.condition, claimedRows(other)]).toEqual(['doubtful', []]);
    expect(other.wireBytes).toEqual([0, 0, 0, 0, 0]);
    expect((await stat(other.path)).size).toBe(65_536);
    expect((await readStagingState(dir))!.generation).not.toBe(generation);
    await other.close(true);
  });

  it('keeps wire bytes that were noted after the last commit, and counts none of a torn note', async () => {
    const area = await areas.open(dir, plan);
    await area.commit([2], claim(area, [2]), [0, 0, 0, 2, 9]);
    await area.note([0, 0, 0, 1, 30]);
    await area.note([0, 0, 0, 1, 40]);
    await area.close(false);
    const again = await areas.open(dir, plan);
    expect([claimedRows(again), again.wireBytes]).toEqual([[2], [0, 0, 0, 2, 40]]);
    // The numbers that were taken over are the header's from now on.
    await again.close(true);
    const bytes = await readFile(join(dir, 'bitmap'));
    bytes[wireNoteOffset(5) + 40]! ^= 0xff;
    await writeFile(join(dir, 'bitmap'), bytes);
    const last = await areas.open(dir, plan);
    expect([last.condition, last.wireBytes]).toEqual(['trusted', [0, 0, 0, 2, 40]]);
    await last.close(true);
  });

  it('with a header torn goes on from the other copy, as doubtful', async () => {
    const area = await areas.open(dir, plan);
    await area.commit([3], claim(area, [3]), [0, 0, 0, 0, 1]);
    await area.close(true);
    const path = join(dir, 'bitmap');
    const whole = await readFile(path);
    for (const slot of [0, 1]) {
      const torn = Buffer.from(whole);
      torn.fill(0, slot * BITMAP_SLOT_BYTES + 50, slot * BITMAP_SLOT_BYTES + 3000);
      await writeFile(path, torn);
      const again = await areas.open(dir, plan);
      // The newest header says "clean" and stands in one of the slots; only the other may be lost.
      expect(claimedRows(again)).toEqual([3]);
      await again.close(false);
    }
  });

  it('with a page torn goes on from its older copy, as doubtful', async () => {
    const area = await areas.open(dir, plan);
    await area.commit([0], claim(area, [0]), [0, 0, 0, 0, 0]);
    await area.commit([1], claim(area, [0, 1]), [0, 0, 0, 0, 0]);
    await area.close(true);
    const bytes = await readFile(join(dir, 'bitmap'));
    // The second commit of page 0 has sequence 2: slot 0 of the page.
    bytes[2 * BITMAP_SLOT_BYTES + 40]! ^= 0xff;
    await writeFile(join(dir, 'bitmap'), bytes);
    const again = await areas.open(dir, plan);
    expect([again.condition, claimedRows(again)]).toEqual(['doubtful', [0]]);
    await again.close(false);
  });

  it('takes records back: a row without one is claimed no more', async () => {
    const area = await areas.open(dir, plan);
    await area.commit([0, 1], claim(area, [0, 1]), [0, 0, 0, 0, 0]);
    await area.commit([0], new Uint32Array(area.records.length), [0, 0, 0, 0, 0]);
    await area.close(true);
    const again = await areas.open(dir, plan);
    expect(claimedRows(again)).toEqual([1]);
    await again.close(true);
  });

  it('I1: commits data before bits, each with its own fdatasync', async () => {
    const area = await areas.open(dir, plan);
    const disk = await open(area.path, 'r');
    const handles = Object.getPrototypeOf(disk) as typeof disk;
    const disks = (await disk.stat()).ino;
    await disk.close();
    const steps: string[] = [];
    const { datasync, write } = handles;
    vi.spyOn(handles, 'datasync').mockImplementation(async function (this: typeof disk) {
      steps.push(`sync ${(await this.stat()).ino === disks ? 'disk' : 'bitmap'}`);
      return datasync.call(this);
    });
    vi.spyOn(handles, 'write').mockImplementation(async function (
      this: typeof disk,
      ...args: unknown[]
    ) {
      steps.push(`write ${(await this.stat()).ino === disks ? 'disk' : 'bitmap'}`);
      return Reflect.apply(write, this, args) as ReturnType<typeof write>;
    } as typeof write);
    await area.commit([0], claim(area, [0]), [0, 0, 0, 0, 0]);
    expect(steps).toEqual(['sync disk', 'write bitmap', 'write bitmap', 'sync bitmap']);
    await area.close(true);
  });

  it('copies records at once: what changes during a commit is not in it', async () => {
    const area = await areas.open(dir, plan);
    const records = claim(area, [0]);
    const commit = area.commit([0], records, [0, 0, 0, 0, 0]);
    records.fill(0);
    await commit;
    await area.close(true);
    const again = await areas.open(dir, plan);
    expect(claimedRows(again)).toEqual([0]);
    await again.close(true);
  });

  it('follows no symbolic link out of itself', async () => {
    await (await areas.open(dir, plan)).close(true);
    const target = join(dir, '..', 'target');
    await writeFile(target, 'precious');
    await rm(join(dir, 'disk.raw'));
    await symlink(target, join(dir, 'disk.raw'));
    await expect(areas.open(dir, plan)).rejects.toMatchObject({ code: 'forbidden' });
    expect(await readFile(target, 'utf8')).toBe('precious');
  });

  it('says null of a directory that is none', async () => {
    expect(await readStagingState(join(dir, 'nothing'))).toBeNull();
  });

  it('keeps pages apart on a disk of many', async () => {
    const segments = ROWS_PER_PAGE * 2 + 3;
    const large = planOfDisk(seededBytes('large', 512));
    const wanted = {
      ...large.wanted,
      virtualSizeBytes: segments * 65_536,
      segmentBitmap: new Uint8Array(Math.ceil(segments / 64) * 8).fill(255),
      segmentHashes: new Uint8Array(segments * 32),
      blockMasks: new Uint16Array(segments).fill(1),
      keys: new Uint32Array(segments * 2),
    };
    const many = { ...large, wanted };
    const area = await areas.open(dir, many);
    const records = area.records.slice();
    const rows = [0, ROWS_PER_PAGE - 1, ROWS_PER_PAGE, segments - 1];
    for (const row of rows) {
      for (let block = 0; block < 16; block += 1) setBlockTier(records, row, block, 1 + (row % 5));
    }
    await area.commit(rows, records, [0, 0, 0, 0, 0]);
    await area.close(true);
    const again = await areas.open(dir, many);
    expect(again.condition).toBe('trusted');
    expect(again.records).toEqual(records);
    await again.close(true);
  });
});
