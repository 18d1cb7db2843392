/** Room: test, bench. The guests to measure with: as infra/guests built them, built now if need be. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { BenchmarkOptions } from './benchmark.ts';

/** A guest's disk as its builder made it. */
export interface Guest {
  readonly name: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

/** Installing a web host and booting it once under emulation, on a busy machine. */
const BUILD_TIMEOUT_MS = 3_600_000;

/** The guest of that name; built first unless the cache has it. */
export async function findGuest(name: string, options: BenchmarkOptions): Promise<Guest> {
  const found = await readGuest(name, options);
  if (found !== undefined) return found;
  options.progress(`${name}: building the guest, which takes minutes`);
  const script = new URL('../../infra/guests/build.sh', import.meta.url).pathname;
  const { runner, signal } = options;
  await runner.run('bash', [script, name], { timeoutMs: BUILD_TIMEOUT_MS, signal });
  const built = await readGuest(name, options);
  if (built !== undefined) return built;
  throw new VmdnError('not_found', `${script} ${name} left no guest in ${folderOf(options)}.`);
}

function folderOf(options: BenchmarkOptions): string {
  return join(options.cacheDir, 'guests');
}

/** What the builder wrote beside the disk; undefined when there is none. */
async function readGuest(name: string, options: BenchmarkOptions): Promise<Guest | undefined> {
  const folder = folderOf(options);
  const text = await readFile(join(folder, `${name}.json`), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { file, format } = JSON.parse(text) as { file?: unknown; format?: unknown };
  if (typeof file === 'string' && (format === 'raw' || format === 'qcow2')) {
    return { name, path: join(folder, file), format };
  }
  throw new VmdnError('corrupt', `${name}.json in ${folder} names no raw or qcow2 disk.`);
}
