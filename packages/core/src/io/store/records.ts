/**
 * Room: io, store. Small durable values, one JSON file each, and the folder of recipe files.
 *
 * I1: a key that could make a path is refused before it becomes one.
 */

import { access, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { type Digest, isDigest } from '../../domain/digest.ts';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import { NAME_PATTERN } from '../../domain/names.ts';
import { durableWrite } from '../files/durable-write.ts';
import { ensurePrivateDir, readBoundedFile, sweepTemps, TEMP_SUFFIX } from '../files/files.ts';
import type { RecipeFolder, Records } from '../ports/records.ts';

/** A teleport's record with 24 disks has some 10 KiB. */
const RECORD_BYTES_MAX = 1024 * 1024;
const SUFFIX = '.json';

/** The records in `dir`, each of the given shape. Unfinished writes of a crash are swept. */
export async function openRecords<Schema extends z.ZodType>(
  dir: string,
  schema: Schema,
): Promise<Records<z.output<Schema>>> {
  await ensurePrivateDir(dir);
  await sweepTemps(dir);
  const pathOf = (key: string): string => {
    if (isDigest(key) || NAME_PATTERN.test(key)) return join(dir, `${key}${SUFFIX}`);
    throw new VmdnError('invalid_input', 'This can not be the key of a record.', { data: { key } });
  };
  return {
    async read(key) {
      const path = pathOf(key);
      try {
        const bytes = await readBoundedFile(path, RECORD_BYTES_MAX);
        return schema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
      } catch (cause) {
        if (isVmdnError(cause, 'not_found')) return null;
        throw new VmdnError('corrupt', `${path} can't be read; remove it.`, {
          data: { path },
          cause,
        });
      }
    },
    async write(key, value) {
      await durableWrite(pathOf(key), Buffer.from(`${JSON.stringify(value)}\n`));
    },
    remove: (key) => rm(pathOf(key), { force: true }),
    async keys() {
      const names = (await readdir(dir)).filter((name) => name.endsWith(SUFFIX));
      return names.map((name) => name.slice(0, -SUFFIX.length)).sort();
    },
  };
}

/** The recipe files in `dir`, named by digest. */
export async function openRecipeFolder(dir: string): Promise<RecipeFolder> {
  await ensurePrivateDir(dir);
  await sweepTemps(dir);
  const path = (digest: Digest): string => join(dir, digest);
  return {
    path,
    async has(digest) {
      return await access(path(digest)).then(
        () => true,
        () => false,
      );
    },
    async put(digest, bytes) {
      await durableWrite(path(digest), bytes, { maxBytes: MAX_RECIPE_BYTES });
    },
    async digests() {
      return (await readdir(dir)).filter(isDigest).sort();
    },
    async keepOnly(digests) {
      for (const name of await readdir(dir)) {
        // What is being written is no leftover; what a crash left is swept when the folder is opened.
        if (name.endsWith(TEMP_SUFFIX) || (isDigest(name) && digests.has(name))) continue;
        await rm(join(dir, name), { force: true });
      }
    },
  };
}
