/**
 * Room: io, store. The folder of images that were not what they said, for people to look at.
 *
 * I1: an image gets there by one rename; the newest QUARANTINE_MAX are kept.
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

/** Quarantined images, oldest first. */
async function quarantined(dir: string): Promise<{ name: string; number: number }[]> {
  const names = await readdir(dir);
  return names
    .map((name) => ({ name, number: Number(name.split('.')[1]) }))
    .filter(({ number }) => Number.isSafeInteger(number))
    .sort((one, other) => one.number - other.number);
}
