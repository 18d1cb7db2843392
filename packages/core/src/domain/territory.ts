/**
 * Room: domain. Edges that make the same disk at the same time each begin somewhere else, so that they have
 * something to trade and an origin sends each part about once.
 *
 * I1: who begins where follows from a node's id alone: nobody needs to agree with anybody.
 * I2: own and rest together are all rows, each once.
 * I3: the disk is a circle. An edge goes forward from its own place to where the next one began; then it
 *     helps, backward from its own place, so that two that share what is left meet once.
 */

/** Rows from `from` on, before `to`; the last ones first when `isBackward`. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
  readonly isBackward: boolean;
}

/** Where on a disk a node begins, as a part of 1: its id's FNV-1a hash, mixed (MurmurHash3's finalizer). */
export function placeOf(node: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < node.length; i += 1) {
    hash = Math.imul(hash ^ node.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** The rows of a disk, for an edge that begins at `place` beside others that began at theirs. */
export function territory(
  rows: number,
  place: number,
  others: readonly number[],
): { readonly own: readonly RowRange[]; readonly rest: readonly RowRange[] } {
  const first = Math.floor(place * rows);
  const forward = (from: number, to: number): RowRange => ({ from, to, isBackward: false });
  const backward = (from: number, to: number): RowRange => ({ from, to, isBackward: true });
  const ahead = others
    .map((other) => Math.floor(other * rows))
    .map((row) => (row > first ? row - first : row - first + rows));
  const length = Math.min(rows, ...ahead);
  const end = first + length;
  if (end <= rows) {
    return { own: [forward(first, end)], rest: [backward(0, first), backward(end, rows)] };
  }
  return {
    own: [forward(first, rows), forward(0, end - rows)],
    rest: [backward(end - rows, first)],
  };
}
