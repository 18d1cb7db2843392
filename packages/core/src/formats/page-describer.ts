/**
 * Room: formats. Describes one page after the other, segment by segment: what every describing thread keeps
 * of the page in hand.
 *
 * I1: memory is fixed: one page of columns, used again for each page.
 * I2: what `take` returns shares nothing with the columns and may be transferred to another thread.
 */

import { HASH_BYTES } from '../domain/digest.ts';
import { SEGMENTS_PER_PAGE } from '../domain/limits.ts';
import { popcount32 } from '../domain/recipe-index.ts';
import { BLOCKS_PER_SEGMENT, segmentCount } from '../domain/units.ts';
import { rootsOfPage } from './page-roots.ts';
import type { PageDescription } from './recipe-builder.ts';
import { describeSegmentInto } from './segment-hash.ts';

/** A description whose columns own their memory. */
export interface TakenPage extends PageDescription {
  readonly masks: Uint16Array<ArrayBuffer>;
  readonly hashes: Uint8Array<ArrayBuffer>;
  readonly keys: Uint32Array<ArrayBuffer>;
}

export class PageDescriber {
  readonly #masks = new Uint16Array(SEGMENTS_PER_PAGE);
  readonly #hashes = new Uint8Array(SEGMENTS_PER_PAGE * HASH_BYTES);
  readonly #keys = new Uint32Array(SEGMENTS_PER_PAGE * BLOCKS_PER_SEGMENT * 2);
  readonly #rowMasks = new Uint16Array(SEGMENTS_PER_PAGE);
  readonly #columns = { hashes: this.#hashes, masks: this.#rowMasks, keys: this.#keys };
  #rows = 0;
  #keyCount = 0;

  /** Whether every segment so far was all zero. */
  get isZero(): boolean {
    return this.#rows === 0;
  }

  /** Forgets the page in hand. */
  clear(): void {
    this.#rows = 0;
    this.#keyCount = 0;
    this.#masks.fill(0);
  }

  /**
   * Adds segment `index` of the page in hand; segments come in ascending order, those that are left out
   * are zero. Returns its mask (bit b: block b is not zero).
   */
  add(index: number, segment: Uint8Array): number {
    const keys = describeSegmentInto(segment, this.#columns, this.#rows, this.#keyCount);
    if (keys === 0) return 0;
    const mask = this.#rowMasks[this.#rows]!;
    this.#masks[index] = mask;
    this.#rows += 1;
    this.#keyCount += keys;
    return mask;
  }

  /**
   * Takes segment `index` over from a page in hand elsewhere, to which it was the last one added; without
   * hashing it again.
   */
  addFrom(other: PageDescriber, index: number): void {
    const mask = other.#masks[index]!;
    if (mask === 0) return;
    const [row, keys] = [other.#rows - 1, popcount32(mask)];
    const hash = other.#hashes.subarray(row * HASH_BYTES, (row + 1) * HASH_BYTES);
    this.#hashes.set(hash, this.#rows * HASH_BYTES);
    const firstWord = (other.#keyCount - keys) * 2;
    this.#keys.set(other.#keys.subarray(firstWord, other.#keyCount * 2), this.#keyCount * 2);
    this.#masks[index] = mask;
    this.#rows += 1;
    this.#keyCount += keys;
  }

  /** The description of the page in hand as page `page` of a disk of this size. */
  take(page: number, virtualSizeBytes: number): TakenPage {
    const masks = this.#masks.slice();
    const hashes = this.#hashes.slice(0, this.#rows * HASH_BYTES);
    const keys = this.#keys.slice(0, this.#keyCount * 2);
    const first = page * SEGMENTS_PER_PAGE;
    const count = Math.min(SEGMENTS_PER_PAGE, segmentCount(virtualSizeBytes) - first);
    const roots = rootsOfPage(page, masks.subarray(0, count), hashes, new Uint8Array(keys.buffer));
    return { ...roots, masks, hashes, keys };
  }
}
