/**
 * Room: formats. Puts a recipe together from descriptions of its pages (4 MiB of disk each).
 *
 * I1: pages may come in any order and only once; a page that never comes is all zero.
 * I2: the memory used follows the disk's non-zero bytes, not its virtual size.
 */

import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { SEGMENTS_PER_PAGE } from '../domain/limits.ts';
import type { Recipe } from '../domain/recipe.ts';
import { popcount32 } from '../domain/recipe-index.ts';
import { pageCount } from './key-pages.ts';
import type { PageRoots } from './page-roots.ts';
import { bitmapLength } from './recipe.ts';

/** One page of a disk: a mask for each of its segments (0 for a zero one), hashes and keys in order. */
export interface PageDescription extends PageRoots {
  /** SEGMENTS_PER_PAGE masks; those past the end of the disk are 0. */
  readonly masks: Uint16Array;
  /** 32 bytes for each mask that is not 0. */
  readonly hashes: Uint8Array;
  /** Two words for each bit that is set. */
  readonly keys: Uint32Array;
}

/** The recipe of a disk of this size from its non-zero pages. Throws `internal` for pages that disagree. */
export function buildRecipe(virtualSizeBytes: number, pages: readonly PageDescription[]): Recipe {
  const ordered = [...pages].sort((a, b) => a.page - b.page);
  let [rows, words, previous] = [0, 0, -1];
  for (const { page, masks, hashes, keys } of ordered) {
    let [pageRows, pageKeys] = [0, 0];
    for (const mask of masks) {
      pageRows += mask === 0 ? 0 : 1;
      pageKeys += popcount32(mask);
    }
    const isWhole = hashes.length === pageRows * HASH_BYTES && keys.length === pageKeys * 2;
    if (!isWhole || page <= previous || page >= pageCount(virtualSizeBytes)) {
      throw new VmdnError('internal', 'The pages of a recipe do not fit together.', {
        data: { page, previous },
      });
    }
    rows += pageRows;
    words += keys.length;
    previous = page;
  }
  const recipe = {
    virtualSizeBytes,
    segmentBitmap: new Uint8Array(bitmapLength(virtualSizeBytes)),
    segmentHashes: new Uint8Array(rows * HASH_BYTES),
    blockMasks: new Uint16Array(rows),
    keys: new Uint32Array(words),
  };
  let [row, word] = [0, 0];
  for (const { page, masks, hashes, keys } of ordered) {
    recipe.segmentHashes.set(hashes, row * HASH_BYTES);
    recipe.keys.set(keys, word);
    word += keys.length;
    for (let i = 0; i < masks.length; i += 1) {
      if (masks[i] === 0) continue;
      const segment = page * SEGMENTS_PER_PAGE + i;
      recipe.segmentBitmap[segment >>> 3]! |= 1 << (segment & 7);
      recipe.blockMasks[row] = masks[i]!;
      row += 1;
    }
  }
  return recipe;
}
