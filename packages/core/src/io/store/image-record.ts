/**
 * Room: io, store. What stands beside an image's bytes: `image.json`.
 *
 * I1: the record is written durably before the image is listed, and is read back through its schema.
 * I2: the fingerprint is that of the file as it was verified; nothing of the file is touched after it
 *     was taken.
 */

import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Digest, isDigest } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import { NAME_PATTERN, type Name } from '../../domain/names.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { decodeRecipe, verifyRecipe } from '../../formats/recipe.ts';
import { durableWrite } from '../files/durable-write.ts';
import { readBoundedFile } from '../files/files.ts';
import { DISK_FILE } from '../files/shared-file.ts';

export const RECIPE_FILE = 'recipe';
const RECORD_FILE = 'image.json';
const KEPT_FILES: ReadonlySet<string> = new Set([
  ...Object.values(DISK_FILE),
  RECIPE_FILE,
  RECORD_FILE,
]);
const RECORD_BYTES_MAX = 16 * 1024;
/** Sectors of `st_blocks`, whatever the file system's block size (stat(2)). */
const STAT_BLOCK_BYTES = 512;

const digest = z.custom<Digest>(isDigest);
const fingerprint = z.object({
  inode: z.string(),
  sizeBytes: z.string(),
  mtimeNs: z.string(),
  ctimeNs: z.string(),
});
/** Whether the file is still the one that was verified. No device: a reboot may renumber it. */
export type ImageFingerprint = z.infer<typeof fingerprint>;

const imageRecord = z.object({
  schema: z.literal('vmdn-image/1'),
  digest,
  keysRoot: digest,
  name: z.custom<Name>((raw) => typeof raw === 'string' && NAME_PATTERN.test(raw)).nullable(),
  kind: z.enum(['base', 'snapshot', 'package']),
  virtualSizeBytes: z.number().int().positive(),
  nonZeroBytes: z.number().int().nonnegative(),
  format: z.enum(['raw', 'qcow2']).default('raw'),
  /** The image whose storage it shares; it must not go before this one does. */
  base: digest.nullable().default(null),
  fingerprint,
});
export type ImageRecord = z.infer<typeof imageRecord>;

/** Removes what the sync engine kept beside a disk, when the process ended before it could go. */
export async function sweepExtras(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!KEPT_FILES.has(name)) await rm(join(dir, name), { recursive: true, force: true });
  }
}

/** Reads the record of the image in `dir`. Throws `corrupt`, `not_found`. */
export async function readImageRecord(dir: string): Promise<ImageRecord> {
  const path = join(dir, RECORD_FILE);
  const bytes = await readBoundedFile(path, RECORD_BYTES_MAX);
  try {
    return imageRecord.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw new VmdnError('corrupt', `${path} is not the record of an image.`, { cause });
  }
}

export async function writeImageRecord(dir: string, record: ImageRecord): Promise<void> {
  await durableWrite(join(dir, RECORD_FILE), Buffer.from(`${JSON.stringify(record)}\n`));
}

/** Reads the recipe beside an image, which is the one that is named. Throws `corrupt`, `not_found`. */
export async function readRecipeFile(
  path: string,
  expected: { readonly digest: Digest; readonly keysRoot: Digest },
): Promise<Recipe> {
  const recipe = decodeRecipe(await readBoundedFile(path, MAX_RECIPE_BYTES));
  const keysRoot = expected.keysRoot as unknown as Parameters<typeof verifyRecipe>[1]['keysRoot'];
  verifyRecipe(recipe, { digest: expected.digest, keysRoot });
  return recipe;
}

/** The fingerprint of a disk file. */
export async function imageFingerprint(path: string): Promise<ImageFingerprint> {
  const found = await stat(path, { bigint: true });
  return {
    inode: found.ino.toString(),
    sizeBytes: found.size.toString(),
    mtimeNs: found.mtimeNs.toString(),
    ctimeNs: found.ctimeNs.toString(),
  };
}

export function isSameFingerprint(one: ImageFingerprint, other: ImageFingerprint): boolean {
  return (
    one.inode === other.inode &&
    one.sizeBytes === other.sizeBytes &&
    one.mtimeNs === other.mtimeNs &&
    one.ctimeNs === other.ctimeNs
  );
}

/** Makes sure that a disk file's bytes and size are on the disk: the last touch before its fingerprint. */
export async function syncDiskFile(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}

/** Bytes that a file takes on the disk; 0 when there is none. */
export async function allocatedBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * STAT_BLOCK_BYTES;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
