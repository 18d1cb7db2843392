import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { DiskFormat } from '../../domain/disk-format.ts';
import { zeroFree } from '../../domain/free-ranges.ts';
import {
  diskOf,
  referenceDigest,
  referenceKeysRoot,
  referenceRecipe,
  seededBytes,
} from '../../formats/recipe.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { makeExtDisk } from '../inspect/free-space.fixture.ts';
import { MemoryDisk, startServer } from '../nbd/nbd-server.fixture.ts';
import { describeDisk } from './describe-disk.ts';
import { createHashPool } from './hash-pool.ts';

const runner = createCommandRunner();
const timeoutMs = 60_000;
let directory: string;
let socketDir: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-describe-'));
  socketDir = join(directory, 'run');
});

afterAll(async () => {
  await pool.close();
  await rm(directory, { recursive: true });
});

/** Kept for all tests here: starting threads takes longer than these small disks. */
const pool = createHashPool({ workerCount: 2 });

async function describeFile(
  path: string,
  format: DiskFormat,
  workers = pool,
  findsFree: boolean | undefined = undefined,
) {
  const disk = await openDiskExport({ layers: [{ path, format }], socketDir, runner });
  try {
    return await describeDisk({ ...disk, pool: workers, ...(findsFree && { findsFree }) });
  } finally {
    await disk.close();
  }
}

async function convert(from: string, format: DiskFormat, more: string[] = []): Promise<string> {
  const path = `${from}.${format}`;
  const args = ['convert', '-f', 'raw', '-O', format, ...more, '--', from, path];
  await runner.run('qemu-img', args, { timeoutMs });
  return path;
}

const disks = fc.record({
  sectors: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 8000, max: 20_000 })),
  writes: fc.array(
    fc.record({
      at: fc.nat({ max: 20_000 }),
      length: fc.integer({ min: 1, max: 400 }),
      seed: fc.nat({ max: 9 }),
    }),
    { maxLength: 5 },
  ),
});

describe('describing a disk', () => {
  test('I1: raw, sparse raw and qcow2 of one disk have one recipe, and it is the right one', async () => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(disks, async ({ sectors, writes }) => {
        round += 1;
        const bytes = diskOf(sectors, writes);
        const full = join(directory, `full-${round}.raw`);
        await writeFile(full, bytes);
        const sparse = join(directory, `sparse-${round}.raw`);
        const copy = ['convert', '-f', 'raw', '-O', 'raw', '-S', '512', '--', full, sparse];
        await runner.run('qemu-img', copy, { timeoutMs });
        const qcow2 = await convert(full, 'qcow2', ['-c']);
        const expected = referenceRecipe(bytes);
        for (const [path, format] of [
          [full, 'raw'],
          [sparse, 'raw'],
          [qcow2, 'qcow2'],
        ] as const) {
          const found = await describeFile(path, format);
          expect(found.recipe).toEqual(expected);
          expect(found.digest).toBe(referenceDigest(bytes));
          expect(found.keysRoot).toBe(referenceKeysRoot(bytes));
        }
      }),
      { numRuns: 6 },
    );
  }, 120_000);

  test('I1: vmdk, vdi and vhdx of one disk have the digest of its raw file', async () => {
    const bytes = diskOf(3 * 8192, [
      { at: 100, length: 9000, seed: 1 },
      { at: 20_000, length: 7, seed: 2 },
    ]);
    const raw = join(directory, 'formats.raw');
    await writeFile(raw, bytes);
    for (const [format, workers] of [
      ['vmdk', 1],
      ['vdi', 2],
      ['vhdx', 5],
    ] as const) {
      await using own = createHashPool({ workerCount: workers });
      const found = await describeFile(await convert(raw, format), format, own);
      expect(found.digest, format).toBe(referenceDigest(bytes));
    }
    const packed = await convert(raw, 'vmdk', ['-o', 'subformat=streamOptimized']);
    expect((await describeFile(packed, 'vmdk')).digest).toBe(referenceDigest(bytes));
  });

  test('I2: zero extents are skipped unread, zero bytes on disk are not taken on trust', async () => {
    const sparse = join(directory, 'holes.raw');
    await writeFile(sparse, seededBytes('x', 65_536));
    await truncate(sparse, 2 ** 30);
    const found = await describeFile(sparse, 'raw');
    expect(found.readBytes).toBe(65_536);
    expect(found.recipe.blockMasks.length).toBe(1);
    const zeros = join(directory, 'zeros.raw');
    await writeFile(zeros, new Uint8Array(5 * 2 ** 20));
    const written = await describeFile(zeros, 'raw');
    expect(written.readBytes).toBe(5 * 2 ** 20);
    expect(written.recipe.blockMasks.length).toBe(0);
    expect(written.digest).toBe(referenceDigest(new Uint8Array(5 * 2 ** 20)));
  });

  test('I4: a disk without its free space has the recipe of a disk that is zero there', async () => {
    for (const [name, mkfs, place] of [
      ['aligned', ['-t', 'ext4', '-b', '4096'], {}],
      [
        'odd',
        ['-t', 'ext4', '-b', '1024'],
        { layout: 'start=63, type=83\n', offsetBytes: 63 * 512 },
      ],
    ] as const) {
      const { path } = await makeExtDisk(runner, directory, { name, mkfs, sizeMiB: 20, ...place });
      const bytes = new Uint8Array(await readFile(path));
      for (const format of ['raw', 'qcow2'] as const) {
        const file = format === 'raw' ? path : await convert(path, format);
        const found = await describeFile(file, format, pool, true);
        expect(found.recipe).toEqual(referenceRecipe(bytes));
        const zeroed = bytes.slice();
        zeroFree(found.free.ranges, zeroed, 0);
        expect(found.withoutFree.recipe).toEqual(referenceRecipe(zeroed));
        expect(found.withoutFree.digest).toBe(referenceDigest(zeroed));
        expect(found.withoutFree.keysRoot).toBe(referenceKeysRoot(zeroed));
        expect(found.withoutFree.digest).not.toBe(found.digest);
      }
      const unasked = await describeFile(path, 'raw');
      expect(unasked.withoutFree.digest).toBe(unasked.digest);
    }
  });

  test('I4: a disk that is zero where it is free is the same without it', async () => {
    const path = join(directory, 'zeros-free.raw');
    const disk = await makeExtDisk(runner, directory, { name: 'full', mkfs: ['-t', 'ext2'] });
    const bytes = new Uint8Array(await readFile(disk.path));
    const { free } = await describeFile(disk.path, 'raw', pool, true);
    zeroFree(free.ranges, bytes, 0);
    await writeFile(path, bytes);
    const { digest, withoutFree } = await describeFile(path, 'raw', pool, true);
    expect(withoutFree.digest).toBe(digest);
  });

  test('progress grows and ends at the size of the disk', async () => {
    const path = join(directory, 'progress.raw');
    await writeFile(path, seededBytes('p', 9 * 2 ** 20 + 512));
    const disk = await openDiskExport({ layers: [{ path, format: 'raw' }], socketDir, runner });
    const seen: number[] = [];
    await describeDisk({ ...disk, onProgress: (doneBytes) => seen.push(doneBytes) });
    await disk.close();
    expect([...seen].sort((a, b) => a - b)).toEqual(seen);
    expect(seen.at(-1)).toBe(9 * 2 ** 20 + 512);
  });

  const threads = (): number => readdirSync('/proc/self/task').length;

  test('I3: a cancelled or failing description leaves no thread behind', async () => {
    const path = join(directory, 'cancel.raw');
    await writeFile(path, new Uint8Array(64 * 2 ** 20).fill(1));
    const before = threads();
    const disk = await openDiskExport({ layers: [{ path, format: 'raw' }], socketDir, runner });
    const aborter = new AbortController();
    const onProgress = (): void => aborter.abort();
    const cancelled = describeDisk({ ...disk, signal: aborter.signal, onProgress });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    await disk.close();
    // Two pages of 16 pieces, of which the last is never answered: one page gets done, the other can't.
    const pieces = 2 * 16;
    const halting = new MemoryDisk(seededBytes('halting', pieces * 2 ** 18));
    halting.now = () => halting.reads < pieces - 1;
    halting.later = (ended) =>
      new Promise((_, reject) => ended.addEventListener('abort', () => reject(ended.reason)));
    await using served = await startServer(halting);
    let closing: Promise<void> | undefined;
    const dying = describeDisk({
      socketPath: served.socketPath,
      virtualSizeBytes: halting.sizeBytes,
      onProgress: () => {
        closing ??= served.server.close();
      },
    });
    await expect(dying).rejects.toMatchObject({ code: 'unavailable' });
    await closing;
    const wrong = describeDisk({ socketPath: disk.socketPath, virtualSizeBytes: 512 });
    await expect(wrong).rejects.toMatchObject({ code: 'unavailable' });
    await vi.waitFor(() => expect(threads()).toBeLessThanOrEqual(before + 1), { timeout: 60_000 });
  });

  test('a disk of another size than was said is source_changed', async () => {
    const path = join(directory, 'size.raw');
    await writeFile(path, new Uint8Array(1024));
    const disk = await openDiskExport({ layers: [{ path, format: 'raw' }], socketDir, runner });
    const described = describeDisk({ socketPath: disk.socketPath, virtualSizeBytes: 512 });
    await expect(described).rejects.toMatchObject({ code: 'source_changed' });
    await disk.close();
  });
});
