/**
 * Room: formats. The beginning of a zstd frame (RFC 8878) that stores bytes as they are, the question
 * when that loses nothing, and a reader that takes such bytes out without a decoder.
 *
 * I1: a frame may go on with the blocks of another one that was made alone: blocks that store leave a
 *     decoder as it was at the frame's beginning (repeated offsets, no tables), and what the other blocks
 *     refer to is their own. The window must be no smaller than the other frame's.
 * I2: what is not random in any stretch of 64 KiB is never called incompressible.
 * I3: the reader hands on exactly the bytes that a decoder would, or says from where on a decoder is needed
 *     and gives it what it must have seen: the last window of what was handed on.
 */

import { VmdnError } from '../domain/errors.ts';

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

/** The frame header that `encodeStoredFrameHeader` writes, but for the window. */
const STORED_HEADER_BYTES = MAGIC_BYTES + 2;
const BLOCK_HEADER_BYTES = 3;

/** What a decoder is given that takes over in the middle of a frame. */
export interface StoredReplay {
  /** What it must see before the rest of the frame. */
  readonly head: readonly Uint8Array[];
  /** How many bytes come out of it first that were handed on already. */
  readonly repeatedBytes: number;
}

/**
 * Reads a frame that begins like one of `encodeStoredFrameHeader`, as long as its blocks are stored (I3).
 * Holds views of at most a window of what it handed on, so pieces must stay as they are.
 */
export class StoredFrameReader {
  readonly #windowBytesMax: number;
  /** The frame's header, or that of a block, as far as it has come. */
  #head: number[] = [];
  #frameHeader: Uint8Array | undefined;
  #windowBytes = 0;
  /** Of the stored block in hand. */
  #left = 0;
  #isLast = false;
  #isEnded = false;
  #replay: StoredReplay | undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;

  /** A frame whose window is larger than `2^windowLogMax` bytes is left to a decoder, which refuses it. */
  constructor(windowLogMax: number) {
    this.#windowBytesMax = 2 ** windowLogMax;
  }

  /** Set when the next bytes are a decoder's. */
  get replay(): StoredReplay | undefined {
    return this.#replay;
  }

  /**
   * Takes a piece of the frame; returns how much of it was used: all, but for what is a decoder's.
   * Throws `corrupt` for bytes behind the frame.
   */
  push(piece: Uint8Array, onBytes: (bytes: Uint8Array) => void): number {
    let at = 0;
    while (at < piece.length && this.#replay === undefined) {
      if (this.#left > 0) {
        const bytes = piece.subarray(at, at + this.#left);
        this.#left -= bytes.length;
        this.#keep(bytes);
        onBytes(bytes);
        at += bytes.length;
      } else if (this.#isLast) {
        throw new VmdnError('corrupt', 'There are bytes behind the end of a zstd frame.');
      } else {
        this.#head.push(piece[at]!);
        at += 1;
        this.#readHead();
      }
      this.#isEnded = this.#isLast && this.#left === 0;
    }
    return at;
  }

  /** Says that no more bytes come. Throws `corrupt` when the frame is truncated. */
  end(): void {
    if (!this.#isEnded) throw new VmdnError('corrupt', 'A zstd frame is truncated.');
  }

  #readHead(): void {
    const head = this.#head;
    if (this.#frameHeader === undefined) {
      if (head.length < STORED_HEADER_BYTES) return;
      this.#readFrameHeader(Uint8Array.from(head));
    } else if (head.length === BLOCK_HEADER_BYTES) {
      const word = head[0]! | (head[1]! << 8) | (head[2]! << 16);
      const length = word >>> 3;
      if ((word & 6) !== 0 || length > STORED_BLOCK_BYTES_MAX) {
        this.#handOver();
        return;
      }
      this.#isLast = (word & 1) !== 0;
      this.#left = length;
    } else return;
    if (this.#replay === undefined) this.#head = [];
  }

  #readFrameHeader(header: Uint8Array): void {
    const exponent = header[MAGIC_BYTES + 1]! >>> 3;
    const isOurs =
      encodeStoredFrameHeader(exponent + 10).every((byte, i) => byte === header[i]) &&
      2 ** (exponent + 10) <= this.#windowBytesMax;
    if (!isOurs) {
      this.#handOver();
      return;
    }
    this.#frameHeader = header;
    this.#windowBytes = 2 ** (exponent + 10);
  }

  /** From here on a decoder is needed. */
  #handOver(): void {
    const stored = this.#kept.flatMap((bytes) => [
      encodeStoredBlockHeader(bytes.length, false),
      bytes,
    ]);
    const header = this.#frameHeader === undefined ? [] : [this.#frameHeader];
    this.#replay = {
      head: [...header, ...stored, Uint8Array.from(this.#head)],
      repeatedBytes: this.#keptBytes,
    };
    this.#kept = [];
  }

  #keep(bytes: Uint8Array): void {
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
    while (this.#keptBytes - this.#kept[0]!.length >= this.#windowBytes) {
      this.#keptBytes -= this.#kept.shift()!.length;
    }
  }
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
