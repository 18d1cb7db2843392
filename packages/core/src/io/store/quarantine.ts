/**
 * Room: io, store. How images leave: into the folder of those that were not what they said, for people to
 * look at, or for good.
 *
 * I1: an image leaves by one rename; of those in quarantine the newest QUARANTINE_MAX are kept.
 * I2: what is removed lies in the staging area first, which is swept at the next start: no half image stays.
 */

import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../domain/digest.ts';
import { fileError, fsyncDir } from '../files/files.ts';

/** Quarantined images that are kept for people to look at; older ones go. */
const QUARANTINE_MAX = 8;

/** Moves an image there, with the reason beside it. One that has no directory any more is gone anyway. */
export async function moveToQuarantine(
  dirs: { readonly images: string; readonly quarantine: string },
  digest: Digest,
  reason: string,
): Promise<void> {
  const { quarantine: dir, images } = dirs;
  const numbers = await quarantined(dir);
  const target = join(dir, `${digest}.${(numbers.at(-1)?.number ?? 0) + 1}`);
  try {
    await rename(join(images, digest), target);
    await fsyncDir(images);
    await writeFile(join(target, 'reason.txt'), `${reason}\n`, { mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(error, target);
  }
  for (const old of (await quarantined(dir)).slice(0, -QUARANTINE_MAX)) {
    await rm(join(dir, old.name), { recursive: true, force: true });
  }
}

/** Removes an image's directory. */
export async function removeImageFiles(
  dirs: { readonly images: string; readonly staging: string },
  digest: Digest,
): Promise<void> {
  const target = join(dirs.staging, `removed-${digest}`);
  try {
    await rm(target, { recursive: true, force: true });
    await rename(join(dirs.images, digest), target);
    await fsyncDir(dirs.images);
    await rm(target, { recursive: true, force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(error, target);
  }
}

/** Quarantined images, oldest first. */
async function quarantined(dir: string): Promise<{ name: string; number: number }[]> {
  const names = await readdir(dir);
  return names
    .map((name) => ({ name, number: Number(name.split('.')[1]) }))
    .filter(({ number }) => Number.isSafeInteger(number))
    .sort((one, other) => one.number - other.number);
}
