/**
 * Room: domain. Which blocks stand for all those that a plan fetches, when one asks how well they compress.
 *
 * I1: what is asked for is whole segments' worth of wanted blocks, spread evenly over the disk, in the order
 *     in which a delivery would ask for them.
 * I2: all of it when it is little enough: the answer is exact then.
 */

import { addRuns } from './block-runs.ts';
import { popcount32 } from './recipe-index.ts';

/** Wanted blocks of a disk's rows, as `planMasks` has them, and where the rows lie. */
export interface WantedRows {
  readonly segmentOfRow: Uint32Array;
  readonly masks: Uint16Array;
}

/** [startBlock, blockCount] pairs, ascending: at most about `blocksMax` blocks, and what they stand for. */
export interface WireSample {
  readonly runs: Uint32Array;
  readonly blocks: number;
  readonly ofBlocks: number;
}

/** Takes a sample of the wanted blocks; undefined when none are wanted. */
export function sampleRows(
  { segmentOfRow, masks }: WantedRows,
  blocksMax: number,
): WireSample | undefined {
  let ofBlocks = 0;
  for (const mask of masks) ofBlocks += popcount32(mask);
  if (ofBlocks === 0) return undefined;
  const share = Math.min(1, blocksMax / ofBlocks);
  const runs: number[] = [];
  let [seen, blocks] = [0, 0];
  for (let row = 0; row < masks.length; row += 1) {
    const mask = masks[row]!;
    if (mask === 0) continue;
    seen += popcount32(mask);
    // As many as belong to what was seen so far: an even spread, and all of them when share is 1.
    if (blocks + popcount32(mask) > Math.ceil(seen * share)) continue;
    blocks += popcount32(mask);
    addRuns(runs, segmentOfRow[row]!, mask);
  }
  return { runs: Uint32Array.from(runs), blocks, ofBlocks };
}
