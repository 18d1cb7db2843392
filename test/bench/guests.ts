/** Room: test, bench. The guests to measure with: found in the cache, or built. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { BenchmarkOptions } from './benchmark.ts';

/** A guest's disk as its builder made it. */
export interface Guest {
  readonly name: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

export async function findGuest(name: string, options: BenchmarkOptions): Promise<Guest> {
  for (const format of ['raw', 'qcow2'] as const) {
    const path = join(options.cacheDir, 'guests', `${name}.${format}`);
    if (existsSync(path)) return { name, path, format };
  }
  throw new VmdnError('not_found', `There is no guest ${name}.`);
}
