/**
 * Room: io, sync. Recipe files as worker threads read them: whole, at once, bounded.
 *
 * I1: of a library that is read one recipe after another, one is in memory: the memory of the last is given
 *     back when a longer one is read, and when the reader is disposed, not when a collection comes to it.
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { giveBack, shared } from '../../domain/columns.ts';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { decodeRecipe } from '../../formats/recipe.ts';

/** The recipe at `path`, in shared memory. Throws `too_large`, `corrupt`, and what node:fs throws. */
export function readRecipe(path: string): Recipe {
  // The columns, which are views into it, can be handed to other threads as they are.
  return read(path, (size) => shared(Uint8Array, size));
}

/** Reads recipes of which each is looked at before the next one is read. */
export interface RecipeReader extends Disposable {
  /** The recipe at `path`; it lasts until the next call. Throws as `readRecipe`. */
  read(path: string): Recipe;
  /** The same; undefined when it cannot be read or decoded. */
  readIfAny(path: string): Recipe | undefined;
}

export function createRecipeReader(): RecipeReader {
  let memory = new Uint8Array();
  const memoryFor = (size: number): Uint8Array => {
    if (memory.length < size) {
      giveBack(memory);
      memory = new Uint8Array(size);
    }
    return memory.subarray(0, size);
  };
  return {
    read: (path) => read(path, memoryFor),
    readIfAny(path) {
      try {
        return read(path, memoryFor);
      } catch {
        return undefined;
      }
    },
    [Symbol.dispose]: () => giveBack(memory),
  };
}

function read(path: string, memoryFor: (size: number) => Uint8Array): Recipe {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    if (size > MAX_RECIPE_BYTES) {
      const words = `${path} is larger than a recipe can be.`;
      throw new VmdnError('too_large', words, { data: { path } });
    }
    const bytes = memoryFor(size);
    let at = 0;
    while (at < size) {
      const length = readSync(fd, bytes, at, size - at, at);
      if (length === 0) break;
      at += length;
    }
    // A file that became shorter meanwhile does not decode.
    return decodeRecipe(bytes.subarray(0, at));
  } finally {
    closeSync(fd);
  }
}
