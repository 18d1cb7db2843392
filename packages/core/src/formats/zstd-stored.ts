/**
 * Room: formats. The beginning of a zstd frame (RFC 8878) that stores bytes as they are, and the question
 * when that loses nothing.
 *
 * I1: a frame may go on with the blocks of another one that was made alone: blocks that store leave a
 *     decoder as it was at the frame's beginning (repeated offsets, no tables), and what the other blocks
 *     refer to is their own. The window must be no smaller than the other frame's.
 * I2: what is not random in any stretch of 64 KiB is never called incompressible.
 */

const MAGIC = 0xfd2fb528;
const MAGIC_BYTES = 4;
/** The largest block of any frame, whatever its window. */
export const STORED_BLOCK_BYTES_MAX = 128 * 1024;

/** What a frame begins with whose window is 2^windowLog bytes: no content size, no checksum. */
export function encodeStoredFrameHeader(windowLog: number): Uint8Array {
  const bytes = new Uint8Array(MAGIC_BYTES + 2);
  new DataView(bytes.buffer).setUint32(0, MAGIC, true);
  // The descriptor of the frame is 0; that of the window: its exponent above 10, in the upper five bits.
  bytes[MAGIC_BYTES + 1] = (windowLog - 10) << 3;
  return bytes;
}

/** What goes before `length` stored bytes; an empty last block ends a frame. */
export function encodeStoredBlockHeader(length: number, isLast: boolean): Uint8Array {
  const word = (length << 3) | (isLast ? 1 : 0);
  return Uint8Array.of(word & 0xff, (word >>> 8) & 0xff, word >>> 16);
}

/** How many bytes of a frame come before its first block; they must all be there. */
export function frameHeaderBytes(frame: Uint8Array): number {
  const descriptor = frame[MAGIC_BYTES]!;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >>> 6;
  const contentSize = contentSizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << contentSizeFlag;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3]!;
  return MAGIC_BYTES + 1 + (isSingleSegment ? 0 : 1) + dictionaryId + contentSize;
}

/** The longest header of a frame. */
export const FRAME_HEADER_BYTES_MAX = 18;

const STRETCH_BYTES = 64 * 1024;
/** Of each 4 KiB so many bytes are looked at. */
const BLOCK_BYTES = 4096;
const SAMPLE_BYTES = 512;
/**
 * Bits per byte. Of 8 KiB of random bytes it is 7.977; with 7.94 an ideal code for single bytes would save
 * less than one per cent.
 */
const ENTROPY_MIN = 7.94;

const counts = new Uint32Array(256);

/** Whether a compressor would find nothing: the bytes' distribution is flat, in every stretch. */
export function isIncompressible(bytes: Uint8Array): boolean {
  // Less says nothing, and costs nothing.
  if (bytes.length < STRETCH_BYTES) return false;
  for (let from = 0; from < bytes.length; from += STRETCH_BYTES) {
    // The last stretch overlaps the one before: it is never too short to judge.
    const start = Math.min(from, bytes.length - STRETCH_BYTES);
    if (entropyOf(bytes, start) < ENTROPY_MIN) return false;
  }
  return true;
}

/** Shannon's entropy of the samples of one stretch, in bits per byte. */
function entropyOf(bytes: Uint8Array, start: number): number {
  counts.fill(0);
  for (let block = start; block < start + STRETCH_BYTES; block += BLOCK_BYTES) {
    for (let at = block; at < block + SAMPLE_BYTES; at += 1) counts[bytes[at]!]! += 1;
  }
  const total = (STRETCH_BYTES / BLOCK_BYTES) * SAMPLE_BYTES;
  let sum = 0;
  for (const count of counts) if (count > 0) sum += count * Math.log2(count);
  return Math.log2(total) - sum / total;
}
