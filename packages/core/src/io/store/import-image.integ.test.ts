import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Id, Name } from '../../domain/names.ts';
import { referenceDigest } from '../../formats/recipe.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { createHashPool, type HashPool } from '../hashing/hash-pool.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { ImportImage } from '../ports/import-image.ts';
import { testDisk } from './image-store.fixture.ts';
import { openImageStore } from './image-store.ts';
import { createImportImage } from './import-image.ts';

let dir: string;
let store: ImageStore & AsyncDisposable;
let pool: HashPool;
let importImage: ImportImage;
/** Ids of the threads that each import was given. */
const taken: number[][] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-import-'));
  store = await openImageStore({ root: join(dir, 'store'), quotaBytes: null });
  pool = createHashPool({ workerCount: 2 });
  const take: HashPool['take'] = (count) => {
    const workers = pool.take(count);
    taken.push(workers.map(({ threadId }) => threadId));
    return workers;
  };
  importImage = createImportImage({
    ...{ store, runner: createCommandRunner(), importDirs: [dir], socketDir: join(dir, 'run') },
    pool: { ...pool, take },
  });
});

afterAll(async () => {
  await pool.close();
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

describe('an import', () => {
  it('leaves its hashing threads to the next one, and nothing in staging', async () => {
    const digests: unknown[] = [];
    for (const name of ['first', 'second'] as Name[]) {
      const disk = testDisk(name);
      const file = join(dir, `${name}.raw`);
      await writeFile(file, disk);
      const order = { id: randomUUID() as Id, name, file, format: 'raw' } as const;
      const { digest } = await importImage({ ...order, signal: AbortSignal.timeout(60_000) });
      expect(digest).toBe(referenceDigest(disk));
      digests.push(digest);
    }
    expect(taken[0]).toHaveLength(1);
    expect(taken[1]).toEqual(taken[0]);
    expect(store.list().map(({ digest }) => digest)).toEqual(expect.arrayContaining(digests));
    expect(await readdir(join(dir, 'store', 'staging'))).toEqual([]);
  });
});
