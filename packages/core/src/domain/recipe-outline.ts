/**
 * Room: domain. The outline of a wanted recipe, and which of its rows are known from other recipes.
 *
 * I1: a row is known by the prefix of its segment's SHA-256, wherever the segment lies in the other disk:
 *     one content has one hash, one mask and one list of keys. A prefix is a hint; who puts the recipe
 *     together verifies it as a whole.
 * I2: the first recipe that knows a row decides: the scanned order is the order of trust.
 * I3: no object per row: typed arrays only, and what is kept of others' keys grows with the rows found.
 */

import { HASH_BYTES } from './digest.ts';
import { KeyTable } from './key-table.ts';
import type { Recipe } from './recipe.ts';
import { popcount32 } from './recipe-index.ts';

/** Bytes of a segment's SHA-256 in an outline: 64 bits, like a match key. */
export const PREFIX_BYTES = 8;

/** What a recipe says before its rows: sizes, which segments are not zero, and a prefix for each. */
export interface RecipeOutline {
  readonly virtualSizeBytes: number;
  /** As in a recipe. */
  readonly segmentBitmap: Uint8Array;
  /** How many match keys the recipe has. */
  readonly keyCount: number;
  /** Two words for each row, low word first: the first 8 bytes of its segment's SHA-256. */
  readonly prefixes: Uint32Array;
}

/** What other recipes say of an outline's rows. Rows of one prefix stand together under the first of them. */
export interface KnownRows {
  /** For each row the first row with its prefix. */
  readonly firstOf: Uint32Array;
  /** For each first row the mask; 0 when no recipe knows it. */
  readonly masks: Uint16Array;
  /** For each first row 32 bytes of SHA-256. */
  readonly hashes: Uint8Array;
  /** For each first row where its keys begin, in keys. */
  readonly firstKeys: Uint32Array;
  /** Two words for each key of a known first row. */
  readonly keys: Uint32Array;
}

/** Row runs as [firstRow, rowCount] pairs: ascending, not overlapping, none empty. */
export type RowRuns = Uint32Array;

export interface OutlineMatcher {
  /** Takes from `library` what it says of rows that are not known yet. True when all are. */
  scan(library: Recipe): boolean;
  known(): KnownRows;
}

/** A matcher for one outline. `seed` is any number that strangers cannot know. */
export function createOutlineMatcher(outline: RecipeOutline, seed: number): OutlineMatcher {
  const table = new KeyTable(outline.prefixes, seed);
  const firstOf = table.firsts();
  const masks = new Uint16Array(firstOf.length);
  const hashes = new Uint8Array(firstOf.length * HASH_BYTES);
  const firstKeys = new Uint32Array(firstOf.length);
  let keys = new Uint32Array(0);
  let [words, unknown] = [0, 0];
  firstOf.forEach((first, row) => {
    if (first === row) unknown += 1;
  });

  const take = (library: Recipe, row: number, firstKey: number, wanted: number): void => {
    const mask = library.blockMasks[row]!;
    const source = library.keys.subarray(2 * firstKey, 2 * (firstKey + popcount32(mask)));
    if (words + source.length > keys.length) {
      const larger = new Uint32Array(Math.max(1024, 2 * keys.length));
      larger.set(keys);
      keys = larger;
    }
    const at = row * HASH_BYTES;
    hashes.set(library.segmentHashes.subarray(at, at + HASH_BYTES), wanted * HASH_BYTES);
    masks[wanted] = mask;
    firstKeys[wanted] = words / 2;
    keys.set(source, words);
    words += source.length;
    unknown -= 1;
  };
  return {
    scan(library) {
      const { segmentHashes, blockMasks } = library;
      for (let row = 0, key = 0; row < blockMasks.length && unknown > 0; row += 1) {
        const at = row * HASH_BYTES;
        const wanted = table.find(wordAt(segmentHashes, at), wordAt(segmentHashes, at + 4));
        if (wanted >= 0 && masks[wanted] === 0) take(library, row, key, wanted);
        key += popcount32(blockMasks[row]!);
      }
      return unknown === 0;
    },
    known: () => ({ firstOf, masks, hashes, firstKeys, keys: keys.slice(0, words) }),
  };
}

/**
 * The rows that nobody knows, as at most `runsMax` runs. Where there would be more, runs grow over the known
 * rows between them: those are asked for as well.
 */
export function missingRuns(known: KnownRows, runsMax: number): RowRuns {
  for (let gapMax = 0; ; gapMax = 2 * gapMax + 1) {
    const runs = runsWithGaps(known, gapMax);
    if (runs.length <= 2 * runsMax) return runs;
  }
}

function runsWithGaps({ firstOf, masks }: KnownRows, gapMax: number): RowRuns {
  let runs = new Uint32Array(64);
  let [length, end] = [0, -1];
  for (let row = 0; row < firstOf.length; row += 1) {
    if (masks[firstOf[row]!] !== 0) continue;
    if (end >= 0 && row - end <= gapMax) {
      runs[length - 1]! += row + 1 - end;
    } else {
      if (length === runs.length) {
        const larger = new Uint32Array(2 * length);
        larger.set(runs);
        runs = larger;
      }
      runs[length] = row;
      runs[length + 1] = 1;
      length += 2;
    }
    end = row + 1;
  }
  return runs.slice(0, length);
}

/** How many rows the runs name. */
export function rowCountOf(runs: RowRuns): number {
  let rows = 0;
  for (let i = 1; i < runs.length; i += 2) rows += runs[i]!;
  return rows;
}

/** How many keys the rows outside `runs` have. Each of them must be known. */
export function knownKeyCount(known: KnownRows, runs: RowRuns): number {
  const { firstOf, masks } = known;
  let count = 0;
  for (let row = 0, run = 0; row < firstOf.length; row += 1) {
    if (row === runs[run]) {
      row += runs[run + 1]! - 1;
      run += 2;
    } else {
      count += popcount32(masks[firstOf[row]!]!);
    }
  }
  return count;
}

function wordAt(bytes: Uint8Array, at: number): number {
  const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
  return (low | (bytes[at + 3]! << 24)) >>> 0;
}
