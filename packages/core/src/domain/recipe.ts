/**
 * Room: domain. The recipe of a disk as a value: columns in disk order, no object per block.
 *
 * I1: row r of `segmentHashes` and `blockMasks` is the r-th non-zero segment in disk order.
 * I2: bit b of `blockMasks[r]` says that block b of that segment holds a byte that is not zero; no
 *     row has mask 0, and no bit stands past the end of the disk.
 * I3: `keys` holds one match key for each set bit of the masks, in disk order, as two 32-bit words,
 *     low word first (key = first 8 bytes of the block's SHA-256, read as a little-endian integer).
 */

import { BLOCK_BYTES, BLOCKS_PER_SEGMENT } from './units.ts';

export interface Recipe {
  /** Size of the disk as the guest sees it; a multiple of 512. */
  readonly virtualSizeBytes: number;
  /** Bit i (of byte i >> 3, value 1 << (i & 7)): segment i holds a byte that is not zero. */
  readonly segmentBitmap: Uint8Array;
  /** 32 bytes for each non-zero segment: SHA-256 over its true length. */
  readonly segmentHashes: Uint8Array;
  /** One 16-bit mask for each non-zero segment. */
  readonly blockMasks: Uint16Array;
  /** Two words for each non-zero block. */
  readonly keys: Uint32Array;
}

/** How many segments are not zero. */
export function nonZeroSegmentCount(recipe: Recipe): number {
  return recipe.blockMasks.length;
}

/** How many blocks are not zero. */
export function nonZeroBlockCount(recipe: Recipe): number {
  return recipe.keys.length / 2;
}

/** True when segment `segmentIndex` holds a byte that is not zero. */
export function isSegmentNonZero(recipe: Recipe, segmentIndex: number): boolean {
  return ((recipe.segmentBitmap[segmentIndex >> 3] ?? 0) & (1 << (segmentIndex & 7))) !== 0;
}

/** Bytes of blocks that are not zero; the last block counts with its true length. */
export function nonZeroBytesOf(recipe: Recipe): number {
  const whole = nonZeroBlockCount(recipe) * BLOCK_BYTES;
  const tailBytes = recipe.virtualSizeBytes % BLOCK_BYTES;
  if (tailBytes === 0) return whole;
  const lastBlock = Math.floor(recipe.virtualSizeBytes / BLOCK_BYTES);
  const lastSegment = Math.floor(lastBlock / BLOCKS_PER_SEGMENT);
  const isPresent = ((recipe.segmentBitmap[lastSegment >> 3] ?? 0) >> (lastSegment & 7)) & 1;
  const mask = recipe.blockMasks.at(-1) ?? 0;
  const isLastNonZero = isPresent === 1 && ((mask >> (lastBlock % BLOCKS_PER_SEGMENT)) & 1) === 1;
  return isLastNonZero ? whole - BLOCK_BYTES + tailBytes : whole;
}
