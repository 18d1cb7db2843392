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
import { divCeil, segmentCount } from '../domain/units.ts';
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

/**
 * The bytes of page `page`. `cursor` stands at the page's first row and key and is moved past the page.
 */
export function pageBytes(recipe: Recipe, page: number, cursor: PageCursor): Uint8Array {
  const first = page * SEGMENTS_PER_PAGE;
  const count = Math.min(SEGMENTS_PER_PAGE, segmentCount(recipe.virtualSizeBytes) - first);
  const masks = new Uint16Array(count);
  let keyCount = 0;
  for (let i = 0; i < count; i += 1) {
    if (!isSegmentNonZero(recipe, first + i)) continue;
    const mask = recipe.blockMasks[cursor.row]!;
    cursor.row += 1;
    masks[i] = mask;
    keyCount += popcount32(mask);
  }
  const bytes = new Uint8Array(count * 2 + keyCount * 8);
  bytes.set(new Uint8Array(masks.buffer), 0);
  const keys = recipe.keys;
  bytes.set(
    new Uint8Array(keys.buffer, keys.byteOffset + cursor.keyIndex * 8, keyCount * 8),
    count * 2,
  );
  cursor.keyIndex += keyCount;
  return bytes;
}

/** Leaf hashes of all key pages, 32 bytes each. */
export function pageLeaves(recipe: Recipe): Uint8Array {
  const pages = pageCount(recipe.virtualSizeBytes);
  const leaves = new Uint8Array(pages * HASH_BYTES);
  const cursor: PageCursor = { row: 0, keyIndex: 0 };
  for (let page = 0; page < pages; page += 1) {
    leafHashInto(pageBytes(recipe, page, cursor), leaves, page * HASH_BYTES);
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
