/**
 * Room: domain. Bits over segments, and the tier of every block of a segment in 64 bits.
 *
 * I1: bit i of a bitmap is bit (i & 7) of byte i >> 3, as in a recipe.
 * I2: a tier record has four bits per block of a segment, block 0 lowest: 0 = nothing known, else the
 *     tier's place in TIERS + 1. Blocks past the end of the disk are 0. A record of a delivered segment
 *     is never 0, and the bytes by tier of a disk are the sum over its records: they cannot disagree.
 */

import { TIERS, type Tier } from './tiers.ts';
import { BLOCK_BYTES, BLOCKS_PER_SEGMENT } from './units.ts';

/** Words of one tier record in a column. */
export const TIER_RECORD_WORDS = 2;

const BITS_PER_BLOCK = 4;
const BLOCKS_PER_WORD = 8;

export function hasBit(bitmap: Uint8Array, index: number): boolean {
  return ((bitmap[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0;
}

export function setBit(bitmap: Uint8Array, index: number): void {
  bitmap[index >>> 3]! |= 1 << (index & 7);
}

/** Bytes of a bitmap over `bits` bits. */
export function bitmapBytes(bits: number): number {
  return Math.ceil(bits / 8);
}

/** The four bits that stand for a tier. */
export function tierCode(tier: Tier): number {
  return TIERS.indexOf(tier) + 1;
}

/** Writes the tier of one block into row `row` of a column of records. */
export function setBlockTier(records: Uint32Array, row: number, block: number, code: number): void {
  const word = row * TIER_RECORD_WORDS + (block >>> 3);
  const shift = (block & (BLOCKS_PER_WORD - 1)) * BITS_PER_BLOCK;
  records[word] = (records[word]! & ~(0xf << shift)) | (code << shift);
}

/** The code (0 = unknown) of one block of row `row`. */
export function blockTier(records: Uint32Array, row: number, block: number): number {
  const shift = (block & (BLOCKS_PER_WORD - 1)) * BITS_PER_BLOCK;
  return (records[row * TIER_RECORD_WORDS + (block >>> 3)]! >>> shift) & 0xf;
}

/** True when every one of the first `blocks` blocks of the row has a tier, and no other has. */
export function isCompleteRecord(records: Uint32Array, row: number, blocks: number): boolean {
  for (let block = 0; block < BLOCKS_PER_SEGMENT; block += 1) {
    const code = blockTier(records, row, block);
    if (block < blocks ? code === 0 || code > TIERS.length : code !== 0) return false;
  }
  return true;
}

/**
 * Adds the bytes of one delivered segment to `sums` (one number for each of TIERS); `sign` -1 takes them
 * back. `lengthBytes` is the segment's true length.
 */
export function addRecord(
  sums: Float64Array,
  records: Uint32Array,
  row: number,
  lengthBytes: number,
  sign: 1 | -1 = 1,
): void {
  for (let block = 0; block * BLOCK_BYTES < lengthBytes; block += 1) {
    const code = blockTier(records, row, block);
    const bytes = Math.min(BLOCK_BYTES, lengthBytes - block * BLOCK_BYTES);
    if (code > 0) sums[code - 1]! += sign * bytes;
  }
}
