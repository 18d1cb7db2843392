/**
 * Room: origin, io. What was computed of disks and guests: recipes and maps of free space by digest, contents
 * by the source's print, guests by the digests of their disks. All of it can be made anew.
 *
 * I1: written durably and whole; a file that is damaged counts as missing.
 * I2: a recipe is handed out only after its digest and keysRoot were recomputed from it.
 */

import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import { MAX_RECIPE_BYTES } from '@vmdn/core/domain/limits.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import { digestOfRecipe } from '@vmdn/core/formats/disk-digest.ts';
import { decodeFreeMap, encodeFreeMap, FREE_MAP_BYTES_MAX } from '@vmdn/core/formats/free-map.ts';
import { decodeRecipe, recipeFileBytes, recipePieces } from '@vmdn/core/formats/recipe.ts';
import { describedDisk, guestFacts } from '@vmdn/core/http/contracts/schemas.ts';
import { durableWrite } from '@vmdn/core/io/files/durable-write.ts';
import { ensurePrivateDir, readBoundedFile, sweepTemps } from '@vmdn/core/io/files/files.ts';
import type { GuestInspection } from '@vmdn/core/io/ports/guest-inspector.ts';
import { z } from 'zod';
import { LEDGER_BYTES_MAX, RECIPE_MEMORY_BYTES_MAX } from '../limits.ts';
import type { ContentCache, DiskContent, SourcePrint } from '../ports.ts';

/** Raised when what is computed of a source or guest changes: older entries then count as missing. */
const CACHE_VERSION = 3;

const contentSchema = describedDisk.extend({
  cacheVersion: z.literal(CACHE_VERSION),
  print: z.string().transform((raw) => raw as SourcePrint),
});
const guestSchema = guestFacts.extend({
  cacheVersion: z.literal(CACHE_VERSION),
  remarks: z.array(z.string()),
});

/** The cache in `dir`, which is made when it is missing. */
export async function openContentCache(dir: string): Promise<ContentCache> {
  const [contents, guests, recipes, maps] = ['contents', 'guests', 'recipes', 'free'].map((sub) =>
    join(dir, sub),
  ) as [string, string, string, string];
  for (const path of [dir, contents, guests, recipes, maps]) {
    await ensurePrivateDir(path);
    await sweepTemps(path);
  }
  const contentPath = (print: SourcePrint): string => join(contents, `${hashOf(print)}.json`);
  const guestPath = (digests: readonly Digest[]): string =>
    join(guests, `${hashOf(digests.join())}.json`);
  const recipePath = (digest: Digest): string => join(recipes, `${digest}.recipe`);
  const mapPath = (digest: Digest): string => join(maps, `${digest}.free`);
  const memory = createRecipeMemory();
  const load = (digest: Digest): Promise<Recipe> =>
    memory.get(digest, () => loadRecipe(recipePath(digest), digest));
  return {
    async contentOf(print) {
      const found = contentSchema.safeParse(await readJson(contentPath(print)));
      return found.success && found.data.print === print ? found.data : undefined;
    },
    putContent: (content) => writeJson(contentPath(content.print), content),
    async guestOf(digests) {
      const found = guestSchema.safeParse(await readJson(guestPath(digests)));
      return found.success ? found.data : undefined;
    },
    putGuest: (digests, facts) => writeJson(guestPath(digests), facts),
    async recipe(digest) {
      return { recipe: await load(digest), path: recipePath(digest) };
    },
    async putRecipe(digest, recipe) {
      await durableWrite(recipePath(digest), recipePieces(recipe));
      return recipeFileBytes(recipe);
    },
    async freeRanges(digest) {
      const { virtualSizeBytes } = await load(digest);
      try {
        const bytes = await readBoundedFile(mapPath(digest), FREE_MAP_BYTES_MAX);
        return decodeFreeMap(bytes, virtualSizeBytes);
      } catch (cause) {
        const message = "The map of this disk's free space must be made anew.";
        throw new VmdnError('not_found', message, { cause });
      }
    },
    async putFreeRanges(digest, ranges, virtualSizeBytes) {
      await durableWrite(mapPath(digest), encodeFreeMap(ranges, virtualSizeBytes));
    },
    async sweep(keep) {
      await removeOthers(contents, new Set([...keep.prints].map(contentPath)));
      await removeOthers(guests, new Set(keep.guests.map(guestPath)));
      await removeOthers(recipes, new Set([...keep.digests].map(recipePath)));
      await removeOthers(maps, new Set([...keep.digests].map(mapPath)));
      memory.keep(keep.digests);
    },
  };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function writeJson(path: string, value: DiskContent | GuestInspection): Promise<void> {
  const text = `${JSON.stringify({ cacheVersion: CACHE_VERSION, ...value })}\n`;
  await durableWrite(path, new TextEncoder().encode(text));
}

/** Undefined when the file is missing or is not JSON. */
async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(await readBoundedFile(path, LEDGER_BYTES_MAX)));
  } catch (error) {
    if (error instanceof SyntaxError || isVmdnError(error)) return undefined;
    throw error;
  }
}

async function loadRecipe(path: string, digest: Digest): Promise<Recipe> {
  const recipe = decodeRecipe(await readBoundedFile(path, MAX_RECIPE_BYTES));
  if (digestOfRecipe(recipe) === digest) return recipe;
  throw new VmdnError('corrupt', 'A recipe on disk is not the one that its name says.');
}

async function removeOthers(dir: string, keep: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    if (!keep.has(path)) await rm(path, { force: true });
  }
}

interface RecipeMemory {
  get(digest: Digest, load: () => Promise<Recipe>): Promise<Recipe>;
  keep(digests: ReadonlySet<Digest>): void;
}

/** The recipes used last, up to RECIPE_MEMORY_BYTES_MAX and at least one. */
function createRecipeMemory(): RecipeMemory {
  const recipes = new Map<Digest, Promise<Recipe>>();
  const sizes = new Map<Digest, number>();
  const forget = (digest: Digest): void => {
    recipes.delete(digest);
    sizes.delete(digest);
  };
  const trim = (): void => {
    let total = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
    for (const digest of recipes.keys()) {
      if (total <= RECIPE_MEMORY_BYTES_MAX || recipes.size === 1) return;
      total -= sizes.get(digest) ?? 0;
      forget(digest);
    }
  };
  return {
    async get(digest, load) {
      const known = recipes.get(digest);
      const recipe = known ?? load();
      recipes.delete(digest);
      recipes.set(digest, recipe);
      try {
        const loaded = await recipe;
        if (known === undefined) {
          sizes.set(digest, recipeFileBytes(loaded));
          trim();
        }
        return loaded;
      } catch (cause) {
        forget(digest);
        throw new VmdnError('not_found', 'The recipe of this disk must be made anew.', { cause });
      }
    },
    keep(digests) {
      for (const digest of [...recipes.keys()]) if (!digests.has(digest)) forget(digest);
    },
  };
}
