/**
 * Room: io, packages. Writes a package image: files one after the other, each at a block boundary, hashed
 * while they are in the processor's cache, zero blocks left as holes.
 *
 * I1: a file begins at a multiple of BLOCK_BYTES; what follows it up to the next one is zero.
 * I2: an image has at least one block, and its size is a multiple of BLOCK_BYTES.
 * I3: memory is one piece and one page of columns, and what is known of the pages that are done.
 * I4: all calls block: they are for threads that do nothing else.
 */

import { ftruncateSync, writeSync } from 'node:fs';
import { SEGMENTS_PER_PAGE } from '../../domain/limits.ts';
import { BLOCK_BYTES, BLOCKS_PER_SEGMENT, SEGMENT_BYTES } from '../../domain/units.ts';
import { tooLargePackage } from '../../formats/archive.ts';
import { PageDescriber } from '../../formats/page-describer.ts';
import type { PageDescription } from '../../formats/recipe-builder.ts';

/** Bytes that are written at once; a page is a multiple of it. */
const PIECE_BYTES = 16 * SEGMENT_BYTES;

/** Everything that is known of an image when its last byte is written. */
interface WrittenImage {
  readonly virtualSizeBytes: number;
  readonly pages: readonly PageDescription[];
}

export class ImageWriter {
  readonly #fd: number;
  readonly #limitBytes: number;
  readonly #piece = Buffer.allocUnsafe(PIECE_BYTES);
  /** Masks of the piece's segments that are described. */
  readonly #masks = new Uint16Array(PIECE_BYTES / SEGMENT_BYTES);
  readonly #describer = new PageDescriber();
  readonly #pages: PageDescription[] = [];
  /** Where the piece lies in the image, how much of it is filled, and how much of that is described. */
  #start = 0;
  #filled = 0;
  #described = 0;

  /** `fd`: an empty file, opened for writing. More than `limitBytes` of image is `too_large`. */
  constructor(fd: number, limitBytes: number) {
    this.#fd = fd;
    this.#limitBytes = limitBytes;
  }

  /** Appends bytes. Throws `too_large` and what node:fs throws. */
  write(bytes: Uint8Array): void {
    if (this.#start + this.#filled + bytes.length > this.#limitBytes) {
      throw tooLargePackage('its image would have more bytes than it may', this.#limitBytes);
    }
    for (let at = 0; at < bytes.length; ) {
      const length = Math.min(bytes.length - at, this.#described + SEGMENT_BYTES - this.#filled);
      this.#piece.set(bytes.subarray(at, at + length), this.#filled);
      at += length;
      this.#advance(length);
    }
  }

  /** Goes on to the next block boundary. */
  align(): void {
    const length = (BLOCK_BYTES - (this.#filled % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#piece.fill(0, this.#filled, this.#filled + length);
    this.#advance(length);
  }

  /** Writes what is left and gives the file its length. The caller makes it durable. */
  finish(): WrittenImage {
    this.align();
    if (this.#start + this.#filled === 0) {
      this.#piece.fill(0, 0, BLOCK_BYTES);
      this.#filled = BLOCK_BYTES;
    }
    const virtualSizeBytes = this.#start + this.#filled;
    if (this.#filled > this.#described) this.#describe(this.#filled);
    this.#flush();
    this.#endPage(virtualSizeBytes);
    ftruncateSync(this.#fd, virtualSizeBytes);
    return { virtualSizeBytes, pages: this.#pages };
  }

  /** Counts bytes that now lie in the piece; they never cross the end of a segment. */
  #advance(length: number): void {
    this.#filled += length;
    if (this.#filled < this.#described + SEGMENT_BYTES) return;
    this.#describe(this.#filled);
    if (this.#filled === PIECE_BYTES) this.#flush();
  }

  /** Describes the segment that ends at `end` of the piece. */
  #describe(end: number): void {
    const segment = (this.#start + this.#described) / SEGMENT_BYTES;
    const bytes = this.#piece.subarray(this.#described, end);
    const mask = this.#describer.add(segment % SEGMENTS_PER_PAGE, bytes);
    this.#masks[this.#described / SEGMENT_BYTES] = mask;
    this.#described = end;
    if ((segment + 1) % SEGMENTS_PER_PAGE === 0) this.#endPage(this.#start + end);
  }

  /** Keeps the description of the page that ends at `endBytes`, if it is not all zero. */
  #endPage(endBytes: number): void {
    const page = Math.ceil(endBytes / (SEGMENTS_PER_PAGE * SEGMENT_BYTES)) - 1;
    if (!this.#describer.isZero) this.#pages.push(this.#describer.take(page, endBytes));
    this.#describer.clear();
  }

  /** Writes the piece's runs of blocks that are not zero, and begins the next piece. */
  #flush(): void {
    const blocks = this.#filled / BLOCK_BYTES;
    const isNonZero = (block: number): boolean =>
      ((this.#masks[Math.floor(block / BLOCKS_PER_SEGMENT)]! >> (block % BLOCKS_PER_SEGMENT)) &
        1) ===
      1;
    for (let block = 0; block < blocks; ) {
      const first = block;
      while (block < blocks && isNonZero(block)) block += 1;
      if (block > first) this.#writeRun(first * BLOCK_BYTES, block * BLOCK_BYTES);
      else block += 1;
    }
    this.#start += this.#filled;
    this.#filled = 0;
    this.#described = 0;
  }

  #writeRun(from: number, to: number): void {
    for (let at = from; at < to; ) {
      at += writeSync(this.#fd, this.#piece, at, to - at, this.#start + at);
    }
  }
}
