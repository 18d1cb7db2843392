/**
 * Room: origin, io. A private folder for temporary files, without what a crash left in it.
 */

import { rm } from 'node:fs/promises';
import { ensurePrivateDir } from '@vmdn/core/io/files/files.ts';

/** Empties `path` and makes it private. For the start of the one process that owns it. */
export async function emptyPrivateDir(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await ensurePrivateDir(path);
}

/** Removes `path` with all that is in it. */
export async function removeDir(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
