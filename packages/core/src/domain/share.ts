/**
 * Room: domain. Whether a wanted disk should share storage with one image of this node, and where.
 *
 * I1: a segment can be shared when the image's recipe has the same SHA-256 for the same segment: the
 *     whole segment, at the same offset, of the same length.
 * I2: the answer is a hint like every match: who shares a segment reads and verifies it first.
 * I3: only an image that lies in one raw file can be shared, so that no disk ever stands on a chain.
 */

import { bitmapBytes, setBit } from './bitmap.ts';
import { HASH_BYTES } from './digest.ts';
import type { Recipe } from './recipe.ts';
import { popcount32 } from './recipe-index.ts';
import { SEGMENT_BYTES, segmentCount, segmentLengthBytes } from './units.ts';

/** Most of the disk: below this, more is written than saved, and the tie to the base is not worth it. */
export const SHARE_FRACTION_MIN = 0.5;
/** Less is written in the time of one request, and is not worth keeping another image for. */
export const SHARE_BYTES_MIN = 64 * 2 ** 20;
/** Tables of a shared disk: 8 bytes for each segment's place, 2 for its count of uses. */
const TABLE_BYTES_PER_SEGMENT = 10;
/** Header, and the round-up of five tables to whole clusters. */
const TABLE_CLUSTERS = 6;

/** What a disk shares with one image. */
export interface Share {
  /** Number of the image in the plan. */
  readonly image: number;
  /** Bit r: row r (non-zero segment) lies at the same place in the image. */
  readonly rows: Uint8Array;
  readonly rowCount: number;
  readonly bytes: number;
}

/** Which non-zero segments of `wanted` lie at the same place in `base` (I1). */
export function rowsInPlace(wanted: Recipe, base: Recipe): Omit<Share, 'image'> {
  const rows = new Uint8Array(
    new SharedArrayBuffer(bitmapBytes(Math.max(1, wanted.blockMasks.length))),
  );
  let [rowCount, bytes, row, baseRow] = [0, 0, 0, 0];
  for (let byte = 0; byte < wanted.segmentBitmap.length; byte += 1) {
    const baseBits = base.segmentBitmap[byte] ?? 0;
    for (let bits = wanted.segmentBitmap[byte]!; bits !== 0; bits &= bits - 1) {
      const bit = bits & -bits;
      const baseAt = baseRow + popcount32(baseBits & (bit - 1));
      if ((baseBits & bit) !== 0 && isSameHash(wanted, row, base, baseAt)) {
        setBit(rows, row);
        rowCount += 1;
        const segment = byte * 8 + popcount32(bit - 1);
        bytes += segmentLengthBytes(wanted.virtualSizeBytes, segment);
      }
      row += 1;
    }
    baseRow += popcount32(baseBits);
  }
  return { rows, rowCount, bytes };
}

/** The image that is worth sharing with: the one with most bytes in place, the first on a tie, or none. */
export function chooseShare(wanted: Recipe, found: readonly Share[]): Share | null {
  let best: Share | null = null;
  for (const share of found) {
    const isMost = share.rowCount >= SHARE_FRACTION_MIN * wanted.blockMasks.length;
    if (!isMost || share.bytes < SHARE_BYTES_MIN) continue;
    if (best === null || share.bytes > best.bytes) best = share;
  }
  return best;
}

/**
 * Bytes of the store that a disk takes; `nonZeroBytes` are those of its blocks. Of a disk that shares,
 * the segments of its own are written whole, and its tables.
 */
export function bytesToWrite(wanted: Recipe, nonZeroBytes: number, share: Share | null): number {
  if (share === null) return nonZeroBytes;
  const ownRows = wanted.blockMasks.length - share.rowCount;
  const segments = segmentCount(wanted.virtualSizeBytes);
  const tableBytes = segments * TABLE_BYTES_PER_SEGMENT + TABLE_CLUSTERS * SEGMENT_BYTES;
  return ownRows * SEGMENT_BYTES + tableBytes;
}

function isSameHash(one: Recipe, row: number, other: Recipe, otherRow: number): boolean {
  const [at, otherAt] = [row * HASH_BYTES, otherRow * HASH_BYTES];
  for (let i = 0; i < HASH_BYTES; i += 1) {
    if (one.segmentHashes[at + i] !== other.segmentHashes[otherAt + i]) return false;
  }
  return true;
}
