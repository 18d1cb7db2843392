/**
 * Room: formats. The recipe of a disk that was written to: rows of what was written, and of all the rest.
 *
 * I1: each segment's row is taken whole from one of the two recipes; nothing is hashed.
 */

import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { isSegmentNonZero, type Recipe } from '../domain/recipe.ts';
import { popcount32 } from '../domain/recipe-index.ts';
import { segmentCount } from '../domain/units.ts';
import { bitmapLength, blankRecipe } from './recipe.ts';

/** A row of one of the two. */
interface Row {
  readonly segment: number;
  readonly from: Recipe;
  readonly row: number;
  /** Number of its first key, and how many it has. */
  readonly key: number;
  readonly keys: number;
}

/**
 * The recipe of a disk whose segments are those of `above` where `isAbove` says so and those of `below`
 * elsewhere. Throws `invalid_input` when the two are of disks of different sizes.
 */
export function recipeOver(
  below: Recipe,
  above: Recipe,
  isAbove: (segment: number) => boolean,
): Recipe {
  const { virtualSizeBytes } = below;
  if (above.virtualSizeBytes !== virtualSizeBytes) {
    throw new VmdnError('invalid_input', 'The two recipes are of disks of different sizes.');
  }
  const segmentBitmap = new Uint8Array(bitmapLength(virtualSizeBytes));
  let [rows, keys] = [0, 0];
  for (const row of rowsOf(below, above, isAbove)) {
    segmentBitmap[row.segment >> 3]! |= 1 << (row.segment & 7);
    rows += 1;
    keys += row.keys;
  }
  const { recipe } = blankRecipe({ virtualSizeBytes, segmentBitmap }, rows, keys);
  let [row, key] = [0, 0];
  for (const taken of rowsOf(below, above, isAbove)) {
    const { from } = taken;
    const [hashAt, keyAt] = [taken.row * HASH_BYTES, taken.key * 2];
    recipe.blockMasks[row] = from.blockMasks[taken.row]!;
    recipe.segmentHashes.set(
      from.segmentHashes.subarray(hashAt, hashAt + HASH_BYTES),
      row * HASH_BYTES,
    );
    recipe.keys.set(from.keys.subarray(keyAt, keyAt + taken.keys * 2), key * 2);
    row += 1;
    key += taken.keys;
  }
  return recipe;
}

/** The rows that make the disk up, in disk order. */
function* rowsOf(
  below: Recipe,
  above: Recipe,
  isAbove: (segment: number) => boolean,
): Generator<Row> {
  const cursors = [below, above].map((from) => ({ from, row: 0, key: 0 }));
  const segments = segmentCount(below.virtualSizeBytes);
  for (let segment = 0; segment < segments; segment += 1) {
    const taken = isAbove(segment) ? 1 : 0;
    for (const [which, cursor] of cursors.entries()) {
      const { from, row, key } = cursor;
      if (!isSegmentNonZero(from, segment)) continue;
      const keys = popcount32(from.blockMasks[row]!);
      cursor.row += 1;
      cursor.key += keys;
      if (which === taken) yield { segment, from, row, key, keys };
    }
  }
}
