/**
 * Room: io, sync. Recipe files as worker threads read them: whole, at once, bounded, in shared memory.
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { decodeRecipe } from '../../formats/recipe.ts';

/** The recipe at `path`. Throws `too_large`, `corrupt`, and what node:fs throws. */
export function readRecipe(path: string): Recipe {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    if (size > MAX_RECIPE_BYTES) {
      const words = `${path} is larger than a recipe can be.`;
      throw new VmdnError('too_large', words, { data: { path } });
    }
    // Shared memory: the columns, which are views into it, can be handed to other threads as they are.
    const bytes = new Uint8Array(new SharedArrayBuffer(size));
    let at = 0;
    while (at < size) {
      const length = readSync(fd, bytes, at, size - at, at);
      // A file that became shorter meanwhile does not decode.
      if (length === 0) break;
      at += length;
    }
    return decodeRecipe(bytes);
  } finally {
    closeSync(fd);
  }
}

/** The recipe at `path`; undefined when it cannot be read or decoded. */
export function readRecipeIfAny(path: string): Recipe | undefined {
  try {
    return readRecipe(path);
  } catch {
    return undefined;
  }
}
