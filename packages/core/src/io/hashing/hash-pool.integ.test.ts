import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { referenceDigest, seededBytes } from '../../formats/recipe.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { type DiskExport, openDiskExport } from '../disk-export/disk-export.ts';
import { describeDisk } from './describe-disk.ts';
import { createHashPool, type HashPool } from './hash-pool.ts';

const content = seededBytes('pool', 9 * 2 ** 20);
let directory: string;
let disk: DiskExport;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-pool-'));
  const path = join(directory, 'disk.raw');
  await writeFile(path, content);
  const socketDir = join(directory, 'run');
  const runner = createCommandRunner();
  disk = await openDiskExport({ layers: [{ path, format: 'raw' }], socketDir, runner });
});

afterAll(async () => {
  await disk.close();
  await rm(directory, { recursive: true });
});

/** A pool that notes the ids of the threads that it hands out. */
function watched(pool: HashPool): HashPool & { readonly taken: number[][] } {
  const taken: number[][] = [];
  const take: HashPool['take'] = (count) => {
    const workers = pool.take(count);
    taken.push(workers.map((worker) => worker.threadId).sort());
    return workers;
  };
  return { ...pool, take, taken };
}

describe('hashing threads', () => {
  test('I2: serve one disk after the other, and not after one that was cancelled', async () => {
    const pool = watched(createHashPool({ workerCount: 2 }));
    const expected = referenceDigest(content);
    expect((await describeDisk({ ...disk, pool })).digest).toBe(expected);
    expect((await describeDisk({ ...disk, pool })).digest).toBe(expected);
    const aborter = new AbortController();
    const onProgress = (): void => aborter.abort();
    const cancelled = describeDisk({ ...disk, pool, signal: aborter.signal, onProgress });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    expect((await describeDisk({ ...disk, pool })).digest).toBe(expected);
    const [first, second, third, fourth] = pool.taken;
    expect(second).toEqual(first);
    expect(third).toEqual(first);
    expect(fourth!.some((id) => first!.includes(id))).toBe(false);
    await pool.close();
  });

  test('I1: disks at the same time get threads of their own', async () => {
    const pool = watched(createHashPool({ workerCount: 2 }));
    const found = await Promise.all([1, 2, 3].map(() => describeDisk({ ...disk, pool })));
    expect(new Set(found.map(({ digest }) => digest))).toEqual(new Set([referenceDigest(content)]));
    expect(new Set(pool.taken.flat()).size).toBe(6);
    await pool.close();
  });

  test('I3: idle threads end by themselves, and with close', async () => {
    for (const end of ['idle', 'close'] as const) {
      const pool = createHashPool({ workerCount: 1, idleMs: end === 'idle' ? 1 : 60_000 });
      const [worker] = pool.take(1);
      await pool.give([worker!], 'good');
      const ended = new Promise((resolve) => worker!.once('exit', resolve));
      if (end === 'close') await pool.close();
      await ended;
      await pool.close();
    }
  });
});
