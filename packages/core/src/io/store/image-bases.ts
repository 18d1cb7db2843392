/**
 * Room: io, store. Images that share storage with a base: their layers, what they must be to be adopted,
 * and what remains of one when its base goes.
 *
 * I1: an image's layers are read from the tables that QEMU reads, and from nothing else.
 * I2: a disk is adopted only when its tables agree with its recipe: every zero segment is marked zero.
 * I3: what a disk had of its own is copied, never moved: a VM that still runs on it is not disturbed.
 */

import { copyFile, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { type ImageLayers, isColumnOf, OWN_FILE, rawLayers } from '../../domain/layers.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import { ensurePrivateDir } from '../files/files.ts';
import {
  DISK_FILE,
  type DiskFileFormat,
  diskFileBytes,
  diskOffsetBytes,
  findDiskFile,
  readSharedTables,
} from '../files/shared-file.ts';
import type { StoredImage } from '../ports/image-store.ts';
import { type ImageRecord, RECIPE_FILE } from './image-record.ts';

/** Where the bytes of the image in `dir` lie. Throws `corrupt` when its tables do not fit its record. */
export async function imageLayers(dir: string, record: ImageRecord): Promise<ImageLayers> {
  const { format, base, virtualSizeBytes } = record;
  const path = join(dir, DISK_FILE[format]);
  if (format === 'raw') return rawLayers(path);
  const tables = await readSharedTables(path, virtualSizeBytes);
  if (tables.base !== base) throw new VmdnError('corrupt', `${path} stands on another image.`);
  const own = { path, offsetBytes: diskOffsetBytes(format, virtualSizeBytes) };
  const below = base === null ? [] : [join(dirname(dir), base, DISK_FILE.raw)];
  return {
    files: [own, ...below.map((basePath) => ({ path: basePath, offsetBytes: 0 }))],
    fileOfSegment: tables.fileOfSegment,
  };
}

/** The disk in a staging directory. Throws `corrupt` when it is not one of this recipe, `not_found`. */
export async function inspectStagedDisk(
  dir: string,
  recipe: Recipe,
): Promise<{
  readonly format: DiskFileFormat;
  readonly base: Digest | null;
  readonly path: string;
}> {
  const format = await findDiskFile(dir);
  if (format === null) throw new VmdnError('not_found', `${dir} has no disk.`);
  const path = join(dir, DISK_FILE[format]);
  if (format === 'raw') return { format, base: null, path };
  const { base, fileOfSegment } = await readSharedTables(path, recipe.virtualSizeBytes);
  if (!isColumnOf(recipe, fileOfSegment, base !== null)) {
    throw new VmdnError('corrupt', `The tables of ${path} are not those of its recipe.`);
  }
  return { format, base, path };
}

/**
 * Copies the segments that a disk has of its own, and its recipe, into a staging directory, where the next
 * sync checks and completes them. Best effort: without them they come from elsewhere.
 */
export async function keepOwnSegments(image: StoredImage, stagingDir: string): Promise<void> {
  const { format, virtualSizeBytes, layers } = image;
  try {
    await ensurePrivateDir(stagingDir);
    if ((await findDiskFile(stagingDir)) !== null) return;
    await copyFile(image.recipePath, join(stagingDir, RECIPE_FILE));
    await using from = await open(image.path, 'r');
    await using to = await open(join(stagingDir, DISK_FILE[format]), 'wx', 0o600);
    await to.truncate(diskFileBytes(format, virtualSizeBytes));
    const bytes = Buffer.alloc(SEGMENT_BYTES);
    const firstByte = diskOffsetBytes(format, virtualSizeBytes);
    for (const [segment, file] of (layers.fileOfSegment ?? []).entries()) {
      if (file !== OWN_FILE) continue;
      const at = firstByte + segment * SEGMENT_BYTES;
      const { bytesRead } = await from.read(bytes, 0, SEGMENT_BYTES, at);
      await to.write(bytes, 0, bytesRead, at);
    }
  } catch {
    await rm(stagingDir, { recursive: true, force: true });
  }
}
