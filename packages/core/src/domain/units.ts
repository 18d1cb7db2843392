/**
 * Room: domain. The units of a disk: bytes, blocks, segments, and the conversions between them.
 *
 * I1: a block is 4 KiB, a segment is 16 blocks (DESIGN, vocabulary); both are aligned.
 * I2: a disk's size is a multiple of 512 bytes; its last block and segment may be short.
 */

export const SECTOR_BYTES = 512;
export const BLOCK_BYTES = 4096;
export const SEGMENT_BYTES = 65_536;
export const BLOCKS_PER_SEGMENT = SEGMENT_BYTES / BLOCK_BYTES;

/** `dividend / divisor`, rounded up. Both non-negative; exact below 2^53. */
export function divCeil(dividend: number, divisor: number): number {
  return Math.ceil(dividend / divisor);
}

/** How many blocks a disk of this size has, the short last one counted. */
export function blockCount(virtualSizeBytes: number): number {
  return divCeil(virtualSizeBytes, BLOCK_BYTES);
}

/** How many segments a disk of this size has, the short last one counted. */
export function segmentCount(virtualSizeBytes: number): number {
  return divCeil(virtualSizeBytes, SEGMENT_BYTES);
}

/** The true length in bytes of a block: BLOCK_BYTES, less at the end of the disk. */
export function blockLengthBytes(virtualSizeBytes: number, blockIndex: number): number {
  return Math.min(BLOCK_BYTES, virtualSizeBytes - blockIndex * BLOCK_BYTES);
}

/** The true length in bytes of a segment: SEGMENT_BYTES, less at the end of the disk. */
export function segmentLengthBytes(virtualSizeBytes: number, segmentIndex: number): number {
  return Math.min(SEGMENT_BYTES, virtualSizeBytes - segmentIndex * SEGMENT_BYTES);
}
