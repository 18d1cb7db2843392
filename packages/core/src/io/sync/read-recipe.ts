/**
 * Room: io, sync. Recipe files as worker threads read them: whole, at once, and bounded.
 */

import { readFileSync, statSync } from 'node:fs';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { decodeRecipe } from '../../formats/recipe.ts';

/** The recipe at `path`. Throws `too_large`, `corrupt`, and what node:fs throws. */
export function readRecipe(path: string): Recipe {
  if (statSync(path).size > MAX_RECIPE_BYTES) {
    throw new VmdnError('too_large', `${path} is larger than a recipe can be.`, { data: { path } });
  }
  return decodeRecipe(readFileSync(path));
}

/** The recipe at `path`; undefined when it cannot be read or decoded. */
export function readRecipeIfAny(path: string): Recipe | undefined {
  try {
    return readRecipe(path);
  } catch {
    return undefined;
  }
}
