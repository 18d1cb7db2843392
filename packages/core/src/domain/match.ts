/**
 * Room: domain. Finds the blocks of a wanted disk in recipes of images: the wanted keys go into one
 * open-addressing table, then whole key columns of the library are scanned against it (DESIGN decision 3).
 *
 * I1: a match is a hint. Two blocks with one key may differ; only a segment's SHA-256 decides.
 * I2: no object per block: typed arrays only, and nothing is allocated while scanning.
 * I3: coverage is exact: an image covers a wanted block when it holds a block with its key.
 * I4: up to `placesPerKey` places are kept per key, in several images where there are several, and a
 *     place that continues a run of blocks in its image displaces one that stands alone.
 */

import { giveBack, shared } from './columns.ts';
import { KeyTable } from './key-table.ts';
import type { Recipe } from './recipe.ts';
import { nonZeroBlockCount } from './recipe.ts';
import { popcount32 } from './recipe-index.ts';
import { BLOCK_BYTES, BLOCKS_PER_SEGMENT, blockLengthBytes } from './units.ts';

/** Images in one plan: their number fits 16 bits. */
export const MAX_IMAGES_PER_PLAN = 65_535;
const MAX_PLACES_PER_KEY = 8;
const RUN_CAP = 255;

export interface MatchOptions {
  /** Places kept per key; 0 only scores. */
  readonly placesPerKey: number;
  /** Any number that strangers cannot know: keeps crafted keys from clustering in the table. */
  readonly seed: number;
}

/** Where each distinct wanted key was found; the distinct ones go by the first key that equals them. */
export interface Places {
  /** The block of each wanted key. */
  readonly blocks: Uint32Array;
  /** For each wanted key the first one (index) that equals it. */
  readonly firstOf: Uint32Array;
  /** For each first key where its places begin in the columns below; one more at the end. */
  readonly start: Uint32Array;
  /** Number of the image, in the order of scanning. In shared memory, like `block`. */
  readonly image: Uint16Array;
  readonly block: Uint32Array;
}

/** Its memory is given back when it is disposed, that of the places excepted. */
export interface Matcher extends Disposable {
  /** Scans the next image; segments outside `presentSegments` are skipped. Returns the bytes it covers. */
  scan(library: Recipe, presentSegments?: Uint8Array): number;
  /** Bytes of the wanted disk that at least one scanned image covers. */
  coveredBytes(): number;
  /** Bytes of its non-zero blocks that none does. */
  missingBytes(): number;
  /** The last that is asked of a matcher: it scans nothing afterwards. */
  places(): Places;
}

/** The block number of each non-zero block of a recipe, in disk order. */
export function nonZeroBlocks(recipe: Recipe): Uint32Array {
  const blocks = new Uint32Array(nonZeroBlockCount(recipe));
  let [row, at] = [0, 0];
  for (let byte = 0; byte < recipe.segmentBitmap.length; byte += 1) {
    for (let bits = recipe.segmentBitmap[byte]!; bits !== 0; bits &= bits - 1) {
      const segment = byte * 8 + lowestBit(bits);
      for (let mask = recipe.blockMasks[row]!; mask !== 0; mask &= mask - 1) {
        blocks[at] = segment * BLOCKS_PER_SEGMENT + lowestBit(mask);
        at += 1;
      }
      row += 1;
    }
  }
  return blocks;
}

/** How many places to keep per key: fewer on large disks, so that they take no more than some 60 MB. */
export function placesPerKeyFor(wanted: Recipe): number {
  const blocks = nonZeroBlockCount(wanted);
  if (blocks <= 2_000_000) return 3;
  return blocks <= 4_000_000 ? 2 : 1;
}

/** The places found so far: `perKey` slots for each first key, untouched where it has no place. */
class PlaceSlots implements Disposable {
  readonly perKey: number;
  readonly count: Uint8Array;
  readonly #image: Uint16Array;
  readonly #block: Uint32Array;
  /** Blocks before the place that matched in a row; 0 = it stands alone so far. */
  readonly #run: Uint8Array;

  constructor(keys: number, perKey: number) {
    this.perKey = Math.min(perKey, MAX_PLACES_PER_KEY);
    this.count = new Uint8Array(keys);
    this.#image = new Uint16Array(keys * this.perKey);
    this.#block = new Uint32Array(keys * this.perKey);
    this.#run = new Uint8Array(keys * this.perKey);
  }

  /** Keeps a place if it is worth it (I4). */
  add(key: number, image: number, block: number, run: number): void {
    const base = key * this.perKey;
    const count = this.count[key]!;
    let alone = -1;
    for (let i = base; i < base + count; i += 1) {
      if (this.#image[i] === image && run === 0) return;
      if (alone < 0 && this.#run[i] === 0) alone = i;
    }
    let at = base + count;
    if (count === this.perKey) {
      if (run === 0 || alone < 0) return;
      at = alone;
    } else {
      this.count[key] = count + 1;
    }
    this.#image[at] = image;
    this.#block[at] = block;
    this.#run[at] = Math.min(run, RUN_CAP);
  }

  compact(): Pick<Places, 'start' | 'image' | 'block'> {
    const start = new Uint32Array(this.count.length + 1);
    for (let k = 0; k < this.count.length; k += 1) start[k + 1] = start[k]! + this.count[k]!;
    const image = shared(Uint16Array, start[this.count.length]!);
    const block = shared(Uint32Array, start[this.count.length]!);
    for (let k = 0; k < this.count.length; k += 1) {
      for (let i = 0; i < this.count[k]!; i += 1) {
        image[start[k]! + i] = this.#image[k * this.perKey + i]!;
        block[start[k]! + i] = this.#block[k * this.perKey + i]!;
      }
    }
    return { start, image, block };
  }

  [Symbol.dispose](): void {
    for (const column of [this.count, this.#image, this.#block, this.#run]) giveBack(column);
  }
}

class RecipeMatcher implements Matcher {
  readonly #wanted: Recipe;
  #wantedBlocks: Uint32Array;
  /** Of its non-zero blocks. */
  readonly #wantedBytes: number;
  readonly #table: KeyTable;
  readonly #slots: PlaceSlots;
  /** Number + 1 of the image that covered a first key last. */
  readonly #coveredBy: Uint32Array;
  /** The first key that equals that of the disk's last block, when that is short, and by how many bytes. */
  readonly #shortKey: number = -1;
  readonly #shortBytes: number = 0;
  #images = 0;
  #union = 0;

  constructor(wanted: Recipe, options: MatchOptions) {
    this.#wanted = wanted;
    this.#wantedBlocks = nonZeroBlocks(wanted);
    this.#table = new KeyTable(wanted.keys, options.seed);
    this.#slots = new PlaceSlots(this.#wantedBlocks.length, options.placesPerKey);
    this.#coveredBy = new Uint32Array(this.#wantedBlocks.length);
    const lastKey = this.#wantedBlocks.length - 1;
    if (lastKey >= 0) {
      const length = blockLengthBytes(wanted.virtualSizeBytes, this.#wantedBlocks[lastKey]!);
      this.#shortBytes = BLOCK_BYTES - length;
      if (this.#shortBytes > 0) this.#shortKey = this.#table.firstOf(lastKey);
    }
    this.#wantedBytes = this.#wantedBlocks.length * BLOCK_BYTES - this.#shortBytes;
  }

  scan(library: Recipe, presentSegments?: Uint8Array): number {
    const { segmentBitmap, blockMasks } = library;
    const run = { wantedKey: -1, block: -1, length: 0 };
    let [covered, row, key] = [0, 0, 0];
    this.#images += 1;
    for (let byte = 0; byte < segmentBitmap.length; byte += 1) {
      for (let bits = segmentBitmap[byte]!; bits !== 0; bits &= bits - 1) {
        const bit = lowestBit(bits);
        const mask = blockMasks[row]!;
        row += 1;
        if (presentSegments !== undefined && ((presentSegments[byte] ?? 0) & (1 << bit)) === 0) {
          run.wantedKey = -1;
        } else {
          const firstBlock = (byte * 8 + bit) * BLOCKS_PER_SEGMENT;
          covered += this.#scanSegment(library.keys, key, mask, firstBlock, run);
        }
        key += popcount32(mask);
      }
    }
    return covered;
  }

  /** Scans one segment's keys; returns the wanted bytes that this image covers for the first time. */
  #scanSegment(
    keys: Uint32Array,
    firstKey: number,
    segmentMask: number,
    firstBlock: number,
    run: { wantedKey: number; block: number; length: number },
  ): number {
    const wantedKeys = this.#wanted.keys;
    const image = this.#images;
    let covered = 0;
    let at = 2 * firstKey;
    for (let mask = segmentMask; mask !== 0; mask &= mask - 1, at += 2) {
      const low = keys[at]!;
      const high = keys[at + 1]!;
      const block = firstBlock + lowestBit(mask);
      // Inside a run the next key is known: most matches need no look-up.
      let wantedKey = run.wantedKey + 1;
      let first: number;
      if (
        wantedKey > 0 &&
        wantedKeys[2 * wantedKey] === low &&
        wantedKeys[2 * wantedKey + 1] === high
      ) {
        first = this.#table.firstOf(wantedKey);
        const step = this.#wantedBlocks[wantedKey]! - this.#wantedBlocks[wantedKey - 1]!;
        run.length = block - run.block === step ? run.length + 1 : 0;
      } else {
        first = this.#table.find(low, high);
        run.length = 0;
        if (first < 0) {
          run.wantedKey = -1;
          continue;
        }
        wantedKey = first;
      }
      run.wantedKey = wantedKey;
      run.block = block;
      if (this.#coveredBy[first] !== image) covered += this.#cover(first, image);
      if (this.#slots.perKey > 0) this.#slots.add(first, image - 1, block, run.length);
    }
    return covered;
  }

  #cover(first: number, image: number): number {
    let bytes = this.#table.countOf(first) * BLOCK_BYTES;
    if (first === this.#shortKey) bytes -= this.#shortBytes;
    if (this.#coveredBy[first] === 0) this.#union += bytes;
    this.#coveredBy[first] = image;
    return bytes;
  }

  coveredBytes(): number {
    return this.#union;
  }

  missingBytes(): number {
    return this.#wantedBytes - this.#union;
  }

  places(): Places {
    const blocks = this.#wantedBlocks;
    this.#wantedBlocks = new Uint32Array();
    return { blocks, firstOf: this.#table.spend(), ...this.#slots.compact() };
  }

  [Symbol.dispose](): void {
    this.#table[Symbol.dispose]();
    this.#slots[Symbol.dispose]();
    giveBack(this.#coveredBy);
    giveBack(this.#wantedBlocks);
  }
}

/** A matcher for one wanted recipe; feed it every image's recipe, in the order of their numbers. */
export function createMatcher(wanted: Recipe, options: MatchOptions): Matcher {
  return new RecipeMatcher(wanted, options);
}

/** Position of the lowest set bit of a word that is not zero. */
function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
