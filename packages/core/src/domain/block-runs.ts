/**
 * Room: domain. Runs of blocks as [startBlock, blockCount] pairs, made from segments and masks.
 *
 * I1: runs ascend, do not overlap, and two that touch are one.
 */

import { popcount32 } from './recipe-index.ts';
import { BLOCKS_PER_SEGMENT } from './units.ts';

/** Adds the blocks of one segment, named by its mask, to runs that end before it. */
export function addRuns(runs: number[], segment: number, mask: number): void {
  const firstBlock = segment * BLOCKS_PER_SEGMENT;
  for (let left = mask; left !== 0; left &= left - 1) {
    const block = firstBlock + 31 - Math.clz32(left & -left);
    const last = runs.length - 2;
    if (last >= 0 && runs[last]! + runs[last + 1]! === block) runs[last + 1]! += 1;
    else runs.push(block, 1);
  }
}

/** How many runs of set bits a 16-bit mask has. */
export function runsIn(mask: number): number {
  return popcount32(mask & ~(mask << 1));
}
