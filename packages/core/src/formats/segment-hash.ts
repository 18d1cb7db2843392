/**
 * Room: formats. Hashes of segments and match keys of blocks: the inner loop of describing and verifying.
 *
 * I1: a segment's hash is SHA-256 over its true length (the last segment of a disk may be short).
 * I2: a block's match key is the first 8 bytes of the SHA-256 of the block padded with zeros to 4 KiB.
 * I3: zero is decided by content, byte for byte.
 * I4: no object that outlives the call: `crypto.hash` into a 'binary' (Latin-1) string is the cheapest
 *     variant measured (Node 24.21: 4 KiB 0.95 GB/s, against 0.75 for 'buffer', 0.61 for createHash);
 *     the 32-character string dies young.
 */

import { hash } from 'node:crypto';
import { HASH_BYTES } from '../domain/digest.ts';
import { BLOCK_BYTES, SEGMENT_BYTES } from '../domain/units.ts';

const ZEROS = Buffer.alloc(SEGMENT_BYTES);
const paddedBlock = new Uint8Array(BLOCK_BYTES);

/** Columns that `describeSegmentInto` writes to: row for the segment, keyIndex for its first key. */
export interface SegmentColumns {
  readonly hashes: Uint8Array;
  readonly masks: Uint16Array;
  readonly keys: Uint32Array;
}

/** True when every byte is zero. Any length; the first byte that is not zero ends the search. */
export function isZero(bytes: Uint8Array): boolean {
  const length = bytes.length;
  // The first byte and the middle settle most blocks of real disks without a call into C++.
  if (length === 0) return true;
  if (bytes[0] !== 0 || bytes[length >>> 1] !== 0) return false;
  for (let at = 0; at < length; at += SEGMENT_BYTES) {
    const end = Math.min(length, at + SEGMENT_BYTES);
    if (ZEROS.compare(bytes, at, end, 0, end - at) !== 0) return false;
  }
  return true;
}

/** Writes the SHA-256 of a segment (its true length) to `out` at `outOffset`. */
export function segmentHashInto(segment: Uint8Array, out: Uint8Array, outOffset: number): void {
  const text = hash('sha256', segment, 'binary');
  for (let i = 0; i < HASH_BYTES; i += 1) out[outOffset + i] = text.charCodeAt(i);
}

/** True when the SHA-256 of `segment` equals row `row` of `hashes` (a recipe's segmentHashes). */
export function segmentMatches(segment: Uint8Array, hashes: Uint8Array, row: number): boolean {
  const at = row * HASH_BYTES;
  if (row < 0 || at + HASH_BYTES > hashes.length) return false;
  const text = hash('sha256', segment, 'binary');
  for (let i = 0; i < HASH_BYTES; i += 1) {
    if (hashes[at + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** Writes a block's match key to words 2·keyIndex (low) and 2·keyIndex + 1 (high). Pads a short block. */
export function blockKeyInto(block: Uint8Array, keys: Uint32Array, keyIndex: number): void {
  let whole = block;
  if (block.length < BLOCK_BYTES) {
    paddedBlock.fill(0);
    paddedBlock.set(block);
    whole = paddedBlock;
  }
  const text = hash('sha256', whole, 'binary');
  keys[2 * keyIndex] = wordAt(text, 0);
  keys[2 * keyIndex + 1] = wordAt(text, 4);
}

/**
 * Describes one segment: its hash and mask into row `row`, the keys of its non-zero blocks from
 * `keyIndex` on. Returns how many keys were written; 0 says that the segment is all zero and that
 * nothing was written.
 */
export function describeSegmentInto(
  segment: Uint8Array,
  columns: SegmentColumns,
  row: number,
  keyIndex: number,
): number {
  let mask = 0;
  let count = 0;
  for (let at = 0, bit = 1; at < segment.length; at += BLOCK_BYTES, bit <<= 1) {
    const block = segment.subarray(at, Math.min(at + BLOCK_BYTES, segment.length));
    if (isZero(block)) continue;
    blockKeyInto(block, columns.keys, keyIndex + count);
    mask |= bit;
    count += 1;
  }
  if (count === 0) return 0;
  columns.masks[row] = mask;
  segmentHashInto(segment, columns.hashes, row * HASH_BYTES);
  return count;
}

/** The little-endian 32-bit word at `at` of a Latin-1 string. */
function wordAt(text: string, at: number): number {
  return (
    text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)
  );
}
