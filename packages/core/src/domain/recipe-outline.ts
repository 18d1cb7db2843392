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

/** Rows by distinct prefix: what other recipes say of them. */
export interface KnownRows {
  /** For each row of the outline the number of its prefix among the distinct ones. */
  readonly distinctOf: Uint32Array;
  /** For each distinct prefix the mask; 0 when no recipe knows it. */
  readonly masks: Uint16Array;
  /** For each distinct prefix 32 bytes of SHA-256. */
  readonly hashes: Uint8Array;
  /** For each distinct prefix where its keys begin, in keys. */
  readonly firstKeys: Uint32Array;
  /** Two words for each key of a known distinct prefix. */
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
  const { distinctOf, distinctCount } = table;
  const masks = new Uint16Array(distinctCount);
  const hashes = new Uint8Array(distinctCount * HASH_BYTES);
  const firstKeys = new Uint32Array(distinctCount);
  let keys = new Uint32Array(0);
  let [words, unknown] = [0, distinctCount];

  const take = (library: Recipe, row: number, firstKey: number, distinct: number): void => {
    const mask = library.blockMasks[row]!;
    const source = library.keys.subarray(2 * firstKey, 2 * (firstKey + popcount32(mask)));
    if (words + source.length > keys.length) {
      const larger = new Uint32Array(Math.max(1024, 2 * keys.length));
      larger.set(keys);
      keys = larger;
    }
    const at = row * HASH_BYTES;
    hashes.set(library.segmentHashes.subarray(at, at + HASH_BYTES), distinct * HASH_BYTES);
    masks[distinct] = mask;
    firstKeys[distinct] = words / 2;
    keys.set(source, words);
    words += source.length;
    unknown -= 1;
  };
  return {
    scan(library) {
      const { segmentHashes, blockMasks } = library;
      for (let row = 0, key = 0; row < blockMasks.length && unknown > 0; row += 1) {
        const at = row * HASH_BYTES;
        const distinct = table.find(wordAt(segmentHashes, at), wordAt(segmentHashes, at + 4));
        if (distinct >= 0 && masks[distinct] === 0) take(library, row, key, distinct);
        key += popcount32(blockMasks[row]!);
      }
      return unknown === 0;
    },
    known: () => ({ distinctOf, masks, hashes, firstKeys, keys: keys.slice(0, words) }),
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

function runsWithGaps({ distinctOf, masks }: KnownRows, gapMax: number): RowRuns {
  let runs = new Uint32Array(64);
  let [length, end] = [0, -1];
  for (let row = 0; row < distinctOf.length; row += 1) {
    if (masks[distinctOf[row]!] !== 0) continue;
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
  const { distinctOf, masks } = known;
  let count = 0;
  for (let row = 0, run = 0; row < distinctOf.length; row += 1) {
    if (row === runs[run]) {
      row += runs[run + 1]! - 1;
      run += 2;
    } else {
      count += popcount32(masks[distinctOf[row]!]!);
    }
  }
  return count;
}

function wordAt(bytes: Uint8Array, at: number): number {
  const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
  return (low | (bytes[at + 3]! << 24)) >>> 0;
}
