/**
 * Room: domain. Finds a segment's row and keys in a recipe in constant time, without an object per row.
 *
 * I1: rowOf is -1 exactly for zero segments and for segments past the end of the disk.
 * I2: firstKeyOf(row) counts the set bits of all masks before the row; firstKeyOf(rows) is their sum.
 */

import type { Recipe } from './recipe.ts';
import { segmentCount } from './units.ts';

export interface RecipeIndex {
  /** Row of a segment in the recipe's columns; -1 for a zero segment. */
  rowOf(segmentIndex: number): number;
  /** Index (in keys, not words) of the first match key of a row. */
  firstKeyOf(row: number): number;
  /** Index of a block's match key; -1 for a zero block. */
  keyIndexOf(blockIndex: number): number;
  /** The segment of each row, in disk order. */
  readonly segmentOfRow: Uint32Array;
}

/** How many bits are set in a 32-bit word. */
export function popcount32(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Builds the index in one pass over the bitmap and one over the masks. */
export function buildRecipeIndex(recipe: Recipe): RecipeIndex {
  const { segmentBitmap, blockMasks } = recipe;
  const segments = segmentCount(recipe.virtualSizeBytes);
  const rowsBeforeByte = new Uint32Array(segmentBitmap.length + 1);
  const segmentOfRow = new Uint32Array(blockMasks.length);
  let row = 0;
  for (let byte = 0; byte < segmentBitmap.length; byte += 1) {
    rowsBeforeByte[byte] = row;
    for (let bits = segmentBitmap[byte]!; bits !== 0; bits &= bits - 1) {
      segmentOfRow[row] = byte * 8 + popcount32((bits & -bits) - 1);
      row += 1;
    }
  }
  const firstKeys = new Uint32Array(blockMasks.length + 1);
  for (let r = 0; r < blockMasks.length; r += 1) {
    firstKeys[r + 1] = firstKeys[r]! + popcount32(blockMasks[r]!);
  }
  const rowOf = (segmentIndex: number): number => {
    const bits = segmentIndex < segments ? (segmentBitmap[segmentIndex >>> 3] ?? 0) : 0;
    const bit = 1 << (segmentIndex & 7);
    return (bits & bit) === 0
      ? -1
      : rowsBeforeByte[segmentIndex >>> 3]! + popcount32(bits & (bit - 1));
  };
  return {
    segmentOfRow,
    rowOf,
    firstKeyOf: (r) => firstKeys[r] ?? firstKeys[blockMasks.length]!,
    keyIndexOf: (blockIndex) => {
      const r = rowOf(blockIndex >>> 4);
      const bit = 1 << (blockIndex & 15);
      if (r < 0 || (blockMasks[r]! & bit) === 0) return -1;
      return firstKeys[r]! + popcount32(blockMasks[r]! & (bit - 1));
    },
  };
}
