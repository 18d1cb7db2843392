/**
 * Room: domain. The byte ranges of a disk that its file systems call free, and what is left of a disk without
 * them.
 *
 * I1: ranges are [offset, length] pairs: ascending, none empty, none touching the one before it.
 * I2: no object per range; at most FREE_RANGES_MAX of them, beyond which collecting them fails.
 */

import { VmdnError } from './errors.ts';
import { FREE_RANGES_MAX } from './limits.ts';

/** Pairs of numbers: offset and length in bytes. */
export type FreeRanges = Float64Array;

/** No byte of the disk is free. */
export const NO_FREE_RANGES: FreeRanges = new Float64Array(0);

/** Collects ranges in ascending order. */
export class FreeRangeBuilder {
  #pairs = new Float64Array(64);
  #words = 0;

  /**
   * Adds a range that begins where the last one ended, or later; an empty one adds nothing. Throws
   * `too_large` beyond FREE_RANGES_MAX, `internal` for one that goes back.
   */
  add(offsetBytes: number, lengthBytes: number): void {
    if (lengthBytes === 0) return;
    const last = this.#words - 2;
    const end = last < 0 ? 0 : this.#pairs[last]! + this.#pairs[last + 1]!;
    if (offsetBytes < end) throw new VmdnError('internal', 'Free ranges must be in order.');
    if (last >= 0 && offsetBytes === end) {
      this.#pairs[last + 1]! += lengthBytes;
      return;
    }
    if (this.#words === FREE_RANGES_MAX * 2) {
      throw new VmdnError('too_large', 'its free space is in too many pieces');
    }
    if (this.#words === this.#pairs.length) {
      const larger = new Float64Array(this.#pairs.length * 2);
      larger.set(this.#pairs);
      this.#pairs = larger;
    }
    this.#pairs[this.#words] = offsetBytes;
    this.#pairs[this.#words + 1] = lengthBytes;
    this.#words += 2;
  }

  /** Adds all ranges of a volume that begins at `offsetBytes`. Throws as `add`. */
  addAll(ranges: FreeRanges, offsetBytes: number): void {
    for (let i = 0; i < ranges.length; i += 2) this.add(offsetBytes + ranges[i]!, ranges[i + 1]!);
  }

  build(): FreeRanges {
    return this.#pairs.slice(0, this.#words);
  }
}

/** Whether these are ranges (I1) of a disk of this size. */
export function areFreeRanges(ranges: FreeRanges, virtualSizeBytes: number): boolean {
  let end = -1;
  for (let i = 0; i < ranges.length; i += 2) {
    const [offset, length] = [ranges[i]!, ranges[i + 1]!];
    const isWhole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (!isWhole || offset <= end || length <= 0) return false;
    end = offset + length;
  }
  return ranges.length % 2 === 0 && end <= virtualSizeBytes;
}

/** Index of the pair of the first range that ends after `offsetBytes`; `ranges.length` when none does. */
function firstAfter(ranges: FreeRanges, offsetBytes: number): number {
  let [low, high] = [0, ranges.length / 2];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle * 2]! + ranges[middle * 2 + 1]! > offsetBytes) high = middle;
    else low = middle + 1;
  }
  return low * 2;
}

/** Calls `visit` with each free part of `bytes`, which lie at `offsetBytes` of the disk. */
export function eachFreePart(
  ranges: FreeRanges,
  bytes: Uint8Array,
  offsetBytes: number,
  visit: (part: Uint8Array) => void,
): void {
  const end = offsetBytes + bytes.length;
  for (let i = firstAfter(ranges, offsetBytes); i < ranges.length && ranges[i]! < end; i += 2) {
    const from = Math.max(0, ranges[i]! - offsetBytes);
    visit(bytes.subarray(from, ranges[i]! + ranges[i + 1]! - offsetBytes));
  }
}

/** Makes zero what is free of `bytes`, which lie at `offsetBytes` of the disk. */
export function zeroFree(ranges: FreeRanges, bytes: Uint8Array, offsetBytes: number): void {
  eachFreePart(ranges, bytes, offsetBytes, (part) => part.fill(0));
}
