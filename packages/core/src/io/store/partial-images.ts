/**
 * Room: io, store. Disks in the making as sources for others: what a withdrawn version left in staging
 * is mostly what its successor needs.
 *
 * A place in such a file may not be written yet; it then fails its check like any other wrong block and
 * comes from elsewhere.
 */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest } from '../../domain/digest.ts';
import type { LocalImage } from '../../domain/plan.ts';
import type { ImageStore } from '../ports/image-store.ts';
import { DISK_FILE, RECIPE_FILE } from './image-record.ts';

/** The staging directories of `store` that hold a disk and its recipe. */
export async function listPartialImages(
  store: Pick<ImageStore, 'stagings' | 'stagingDir'>,
): Promise<readonly LocalImage[]> {
  const images: LocalImage[] = [];
  for (const digest of await store.stagings()) {
    if (!isDigest(digest)) continue;
    const dir = store.stagingDir(digest);
    const [path, recipePath] = [join(dir, DISK_FILE), join(dir, RECIPE_FILE)];
    try {
      const [{ size }] = await Promise.all([stat(path), stat(recipePath)]);
      images.push({ digest, name: null, path, recipePath, virtualSizeBytes: size });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return images;
}
