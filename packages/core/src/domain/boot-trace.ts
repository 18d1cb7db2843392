/**
 * Room: domain. What a guest read until it was ready, and what of another disk that is.
 *
 * I1: a trace is known by content: a block of it is found where the wanted disk has the same key at the same
 *     place, then behind the block found last, then wherever its key lies first. So the trace of one version
 *     serves the next one, and that of a VM its relatives.
 * I2: it decides in which order segments are asked for, and nothing else: a trace that is wrong costs order.
 * I3: a segment is named once, in the order of its first block in the trace.
 */

import { KeyTable } from './key-table.ts';
import type { Recipe } from './recipe.ts';
import { popcount32, type RecipeIndex } from './recipe-index.ts';
import { BLOCK_BYTES, BLOCKS_PER_SEGMENT } from './units.ts';

/**
 * Columns, a block a row, in the order in which a guest first read them; no block of zeros. `keys` has two
 * words for each, as in a recipe.
 */
export interface BootTrace {
  /** Number of the disk, in the order of the VM's disks. */
  readonly disks: Uint8Array;
  readonly blocks: Uint32Array;
  readonly keys: Uint32Array;
}

/** Whose trace it is: this version's, another version's of this VM, or another VM's. */
export const TRACE_KINSHIPS = ['version', 'vm', 'relative'] as const;
export type TraceKinship = (typeof TRACE_KINSHIPS)[number];

export interface KnownTrace {
  readonly kinship: TraceKinship;
  readonly trace: BootTrace;
}

/** What a trace says of a wanted disk. */
export interface TracedDisk {
  /** To be asked for in this order. */
  readonly segments: readonly number[];
  /** Of the segments: their blocks that are not zero, each whole. */
  readonly bytes: number;
  /** Blocks of the trace, and those of them that the disk has. */
  readonly tracedBlocks: number;
  readonly foundBlocks: number;
}

/** Below this share of its blocks another version's trace is of a guest that was made anew. */
const SAME_GUEST_SHARE = 0.5;

/** A disk that is wanted: its number in the order of the VM's disks, and its recipe. */
export interface WantedDisk {
  readonly disk: number;
  readonly recipe: Recipe;
  readonly index: RecipeIndex;
}

/** The segments of a disk that a trace names. `seed`: see `KeyTable`. */
export function traceDisk(
  { kinship, trace }: KnownTrace,
  { disk, recipe, index }: WantedDisk,
  seed: number,
): TracedDisk {
  const mine: number[] = [];
  for (let k = 0; k < trace.disks.length; k += 1) if (trace.disks[k] === disk) mine.push(k);
  const isAt = (k: number, block: number): boolean => {
    const at = index.keyIndexOf(block);
    if (at < 0) return false;
    const isLow = recipe.keys[2 * at] === trace.keys[2 * k];
    return isLow && recipe.keys[2 * at + 1] === trace.keys[2 * k + 1];
  };
  // The same version has everything where it was; there is nothing to search for.
  const isElsewhere = kinship !== 'version' && mine.some((k) => !isAt(k, trace.blocks[k]!));
  const places = isElsewhere ? firstPlaces(trace, recipe, index, seed) : undefined;
  const found = new Set<number>();
  let [last, foundBlocks] = [-1, 0];
  for (const k of mine) {
    const block = placeOf(k, trace.blocks[k]!, last, isAt, places);
    if (block < 0) continue;
    found.add(Math.floor(block / BLOCKS_PER_SEGMENT));
    last = block;
    foundBlocks += 1;
  }
  const segments = [...found];
  const bytes = blocksIn(segments, recipe, index) * BLOCK_BYTES;
  return { segments, bytes, tracedBlocks: mine.length, foundBlocks };
}

function blocksIn(segments: readonly number[], recipe: Recipe, index: RecipeIndex): number {
  return segments.reduce((sum, segment) => {
    return sum + popcount32(recipe.blockMasks[index.rowOf(segment)]!);
  }, 0);
}

/** I1. -1: the disk does not have it. */
function placeOf(
  k: number,
  block: number,
  last: number,
  isAt: (k: number, block: number) => boolean,
  places: Float64Array | undefined,
): number {
  if (isAt(k, block)) return block;
  if (places === undefined) return -1;
  return last >= 0 && isAt(k, last + 1) ? last + 1 : places[k]!;
}

/** The first block of the disk with each key of the trace; -1 where there is none. */
function firstPlaces(
  trace: BootTrace,
  recipe: Recipe,
  { segmentOfRow }: RecipeIndex,
  seed: number,
): Float64Array {
  using table = new KeyTable(trace.keys, seed);
  const places = new Float64Array(trace.disks.length).fill(-1);
  let key = 0;
  for (let row = 0; row < segmentOfRow.length; row += 1) {
    const first = segmentOfRow[row]! * BLOCKS_PER_SEGMENT;
    for (let bits = recipe.blockMasks[row]!; bits !== 0; bits &= bits - 1) {
      const k = table.find(recipe.keys[2 * key]!, recipe.keys[2 * key + 1]!);
      if (k >= 0 && places[k]! < 0) places[k] = first + popcount32((bits & -bits) - 1);
      key += 1;
    }
  }
  for (let k = 0; k < places.length; k += 1) places[k] = places[table.firstOf(k)]!;
  return places;
}

/**
 * Which of several traces to go by for a disk; -1: none. The version's own, if the disk has any of it; that
 * of another version, if the guest still is the same; else the one of which the disk has most, the first of
 * equals.
 */
export function chooseTrace(
  traces: readonly {
    readonly kinship: TraceKinship;
    readonly tracedBlocks: number;
    readonly foundBlocks: number;
  }[],
): number {
  const own = traces.findIndex(({ kinship, foundBlocks }) => {
    return kinship === 'version' && foundBlocks > 0;
  });
  if (own >= 0) return own;
  const former = traces.findIndex(({ kinship, foundBlocks, tracedBlocks }) => {
    return kinship === 'vm' && foundBlocks > 0 && foundBlocks >= tracedBlocks * SAME_GUEST_SHARE;
  });
  if (former >= 0) return former;
  let best = -1;
  for (const [i, { foundBlocks }] of traces.entries()) {
    if (foundBlocks > (traces[best]?.foundBlocks ?? 0)) best = i;
  }
  return best;
}
