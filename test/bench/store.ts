/** Room: test, bench. An image store with one image, as a node has it, for benchmarks without a network. */

import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import { createHashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import { openImageStore } from '@vmdn/core/io/store/image-store.ts';
import { createImportImage } from '@vmdn/core/io/store/import-image.ts';
import type { BenchmarkOptions } from './benchmark.ts';
import type { Workbench } from './workbench.ts';

/** A store into which the raw file `rawPath` was imported. */
export type Store = Awaited<ReturnType<typeof openStore>>;

export async function openStore(
  { runner, signal }: BenchmarkOptions,
  bench: Workbench,
  { name, rawPath }: { readonly name: string; readonly rawPath: string },
) {
  const root = await bench.freshFolder(`store-${name}`);
  const store = await openImageStore({ root, quotaBytes: null });
  const socketDir = await bench.freshFolder('s');
  const importDirs = [dirname(rawPath)];
  await using pool = createHashPool();
  const importImage = createImportImage({ store, runner, socketDir, importDirs, pool });
  const order = { id: randomUUID() as Id, name: parseName(name, 'image'), file: rawPath } as const;
  const { digest } = await importImage({ ...order, format: 'raw', signal });
  return Object.assign(store, { image: store.find(digest)! });
}

/** For a planner whose estimates nobody reads: no holder is asked how well blocks compress. */
export const NOTHING_MEASURED = {
  measure: async (): Promise<void> => {},
  applied: <Rates>(_digest: unknown, rates: Rates): Rates => rates,
};
