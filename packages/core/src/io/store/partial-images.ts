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
import { type ImageLayers, rawLayers } from '../../domain/layers.ts';
import type { LocalImage } from '../../domain/plan.ts';
import {
  DISK_FILE,
  diskOffsetBytes,
  findDiskFile,
  readSharedTables,
} from '../files/shared-file.ts';
import type { ImageStore } from '../ports/image-store.ts';
import { readStagingState } from '../sync/staging.ts';
import { RECIPE_FILE } from './image-record.ts';

type Store = Pick<ImageStore, 'stagings' | 'stagingDir' | 'find'>;

/** The staging directories of `store` that hold a disk and its recipe. */
export async function listPartialImages(store: Store): Promise<readonly LocalImage[]> {
  const images: LocalImage[] = [];
  for (const digest of await store.stagings()) {
    if (!isDigest(digest)) continue;
    const dir = store.stagingDir(digest);
    const recipePath = join(dir, RECIPE_FILE);
    try {
      await stat(recipePath);
      const disk = await partialDisk(store, dir);
      if (disk !== null) images.push({ digest, name: null, recipePath, ...disk });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return images;
}

/** Null when there is none, or nothing says how large it is. */
async function partialDisk(
  store: Store,
  dir: string,
): Promise<Pick<LocalImage, 'layers' | 'virtualSizeBytes'> | null> {
  const format = await findDiskFile(dir);
  if (format === null) return null;
  const path = join(dir, DISK_FILE[format]);
  if (format === 'raw') {
    return { layers: rawLayers(path), virtualSizeBytes: (await stat(path)).size };
  }
  const virtualSizeBytes = (await readStagingState(dir))?.virtualSizeBytes;
  if (virtualSizeBytes === undefined) return null;
  return { layers: await sharedLayers(store, path, virtualSizeBytes), virtualSizeBytes };
}

/** Its tables are written when a sync ends in order; without them all counts as the disk's own. */
async function sharedLayers(
  store: Store,
  path: string,
  virtualSizeBytes: number,
): Promise<ImageLayers> {
  const own = { path, offsetBytes: diskOffsetBytes('qcow2', virtualSizeBytes) };
  const tables = await readSharedTables(path, virtualSizeBytes).catch(() => null);
  const base = tables?.base == null ? undefined : store.find(tables.base);
  if (tables === null || base === undefined) return { files: [own], fileOfSegment: null };
  return {
    files: [own, { path: base.path, offsetBytes: 0 }],
    fileOfSegment: tables.fileOfSegment,
  };
}
