/**
 * Room: domain. What of a disk comes first while a guest reads it, as long as nobody knows what its boot
 * reads.
 *
 * Programs, their settings and the file system's own blocks lie among blocks that are near: their packages,
 * or an image of the same system. What people have stored lies in long stretches of which nothing is near. A
 * boot reads the former.
 *
 * I1: rows that lack some of their blocks come first, then stretches of rows that lack all, the shortest
 *     first; equals in disk order. Each row once, none that lacks nothing.
 * I2: rows of `blocksMax` blocks that are lacking at most, so that it costs little to look through them.
 */

import { popcount32 } from './recipe-index.ts';

/** Columns, a row of the disk each. */
export interface LackingRows {
  /** Segment of each row, ascending. */
  readonly segmentOfRow: Uint32Array;
  /** Blocks of each row that are not zero. */
  readonly blockMasks: Uint16Array;
  /** Those of them that must come from a remote node. */
  readonly remoteMasks: Uint16Array;
}

/** The rows to ask for first, in this order. */
export function scatteredFirst(disk: LackingRows, blocksMax: number): Uint32Array {
  const { segmentOfRow, blockMasks, remoteMasks } = disk;
  const rows = segmentOfRow.length;
  const some: [from: number, to: number][] = [];
  const stretches: [from: number, to: number][] = [];
  const lacksAll = (row: number): boolean => remoteMasks[row] === blockMasks[row];
  const isNext = (row: number): boolean => segmentOfRow[row] === segmentOfRow[row - 1]! + 1;
  for (let row = 0; row < rows; ) {
    const from = row;
    row += 1;
    if (remoteMasks[from] === 0) continue;
    if (!lacksAll(from)) {
      some.push([from, row]);
      continue;
    }
    while (row < rows && lacksAll(row) && isNext(row)) row += 1;
    stretches.push([from, row]);
  }
  // Sorting keeps the order of equals: ECMA-262, 23.1.3.30.
  stretches.sort(([from, to], [otherFrom, otherTo]) => to - from - (otherTo - otherFrom));
  const found: number[] = [];
  let blocks = 0;
  for (const [from, to] of [...some, ...stretches]) {
    for (let row = from; row < to; row += 1) {
      blocks += popcount32(remoteMasks[row]!);
      if (blocks > blocksMax) return Uint32Array.from(found);
      found.push(row);
    }
  }
  return Uint32Array.from(found);
}
