/**
 * Room: formats. The pages of a recipe's key column and their Merkle root (docs/formats/recipe.md).
 *
 * I1: page p covers segments [64p, 64p + 64), fewer at the end of the disk.
 * I2: page bytes = one u16le mask for each of its segments (0 for a zero segment), then the 8-byte match
 *     keys of its non-zero blocks in disk order.
 * I3: keysRoot = Merkle root (formats/merkle.ts) over the pages in disk order, each a leaf's data.
 */

import { HASH_BYTES, type MerkleRoot } from '../domain/digest.ts';
import { SEGMENTS_PER_PAGE } from '../domain/limits.ts';
import type { Recipe } from '../domain/recipe.ts';
import { isSegmentNonZero } from '../domain/recipe.ts';
import { popcount32 } from '../domain/recipe-index.ts';
import { BLOCKS_PER_SEGMENT, divCeil, segmentCount } from '../domain/units.ts';
import { leafHashInto, merkleRoot } from './merkle.ts';

/** How many key pages a disk of this size has. */
export function pageCount(virtualSizeBytes: number): number {
  return divCeil(segmentCount(virtualSizeBytes), SEGMENTS_PER_PAGE);
}

/** Where a walk over pages stands in the columns. Reused from page to page. */
export interface PageCursor {
  row: number;
  keyIndex: number;
}

/** The longest page: a mask for each of its segments and a key for each of their blocks. */
const PAGE_BYTES_MAX = SEGMENTS_PER_PAGE * (2 + BLOCKS_PER_SEGMENT * 8);

/**
 * The bytes of page `page`. `cursor` stands at the page's first row and key and is moved past the page.
 */
export function pageBytes(recipe: Recipe, page: number, cursor: PageCursor): Uint8Array {
  return pageInto(new Uint8Array(PAGE_BYTES_MAX), recipe, page, cursor).slice();
}

/** The same in memory of the caller's, PAGE_BYTES_MAX of it, that is used again. */
function pageInto(
  target: Uint8Array,
  recipe: Recipe,
  page: number,
  cursor: PageCursor,
): Uint8Array {
  const first = page * SEGMENTS_PER_PAGE;
  const count = Math.min(SEGMENTS_PER_PAGE, segmentCount(recipe.virtualSizeBytes) - first);
  let keyCount = 0;
  for (let i = 0; i < count; i += 1) {
    let mask = 0;
    if (isSegmentNonZero(recipe, first + i)) {
      mask = recipe.blockMasks[cursor.row]!;
      cursor.row += 1;
    }
    target[2 * i] = mask & 0xff;
    target[2 * i + 1] = mask >>> 8;
    keyCount += popcount32(mask);
  }
  const { buffer, byteOffset } = recipe.keys;
  target.set(new Uint8Array(buffer, byteOffset + cursor.keyIndex * 8, keyCount * 8), count * 2);
  cursor.keyIndex += keyCount;
  return target.subarray(0, count * 2 + keyCount * 8);
}

/** Leaf hashes of all key pages, 32 bytes each. */
export function pageLeaves(recipe: Recipe): Uint8Array {
  const pages = pageCount(recipe.virtualSizeBytes);
  const leaves = new Uint8Array(pages * HASH_BYTES);
  const cursor: PageCursor = { row: 0, keyIndex: 0 };
  const scratch = new Uint8Array(PAGE_BYTES_MAX);
  for (let page = 0; page < pages; page += 1) {
    leafHashInto(pageInto(scratch, recipe, page, cursor), leaves, page * HASH_BYTES);
  }
  return leaves;
}

/** The Merkle root of a recipe's key pages. */
export function keysRootOfRecipe(recipe: Recipe): MerkleRoot {
  return rootToHex(merkleRoot(pageLeaves(recipe)));
}

/** 32 bytes as a MerkleRoot. */
export function rootToHex(root: Uint8Array): MerkleRoot {
  let text = '';
  for (const byte of root) text += byte.toString(16).padStart(2, '0');
  return text as MerkleRoot;
}
