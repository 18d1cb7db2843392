/**
 * Room: io, store. Decoded recipes of the disks that are read most: decoding and checking one takes
 * milliseconds for each GiB of disk, and every request for blocks opens a disk.
 *
 * I1: bounded by the length of the recipe files; the least recently used go first.
 */

import type { Digest } from '../../domain/digest.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { recipeFileBytes } from '../../formats/recipe.ts';

/** Recipes of some 128 GiB of disk. */
const RECIPE_MEMORY_BYTES_MAX = 256 * 1024 * 1024;

export interface RecipeMemory {
  get(digest: Digest, read: () => Promise<Recipe>): Promise<Recipe>;
  forget(digest: Digest): void;
}

export function createRecipeMemory(bytesMax: number = RECIPE_MEMORY_BYTES_MAX): RecipeMemory {
  const kept = new Map<Digest, { readonly recipe: Promise<Recipe>; bytes: number }>();
  const shrink = (): void => {
    let bytes = [...kept.values()].reduce((sum, entry) => sum + entry.bytes, 0);
    for (const [digest, entry] of kept) {
      if (bytes <= bytesMax) return;
      kept.delete(digest);
      bytes -= entry.bytes;
    }
  };
  return {
    async get(digest, read) {
      // A Map keeps the order of insertion: what is used moves to the end.
      const entry = kept.get(digest) ?? { recipe: read(), bytes: 0 };
      kept.delete(digest);
      kept.set(digest, entry);
      try {
        const recipe = await entry.recipe;
        entry.bytes = recipeFileBytes(recipe);
        shrink();
        return recipe;
      } catch (error) {
        kept.delete(digest);
        throw error;
      }
    },
    forget: (digest) => void kept.delete(digest),
  };
}
