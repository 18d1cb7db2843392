/**
 * Room: formats. The digest of a disk's content (DESIGN decision 2; docs/formats/digest.md).
 *
 * I1: digest = SHA-256("vmdn-disk/1" ‖ u64le virtual size ‖ Merkle root over the segments).
 * I2: the leaf data of a non-zero segment is its 32-byte SHA-256, of a zero segment nothing: holes,
 *     file format, compression and the key column do not enter.
 */

import { hash } from 'node:crypto';
import { giveBack } from '../domain/columns.ts';
import type { Digest } from '../domain/digest.ts';
import { HASH_BYTES } from '../domain/digest.ts';
import type { Recipe } from '../domain/recipe.ts';
import { isSegmentNonZero } from '../domain/recipe.ts';
import { segmentCount } from '../domain/units.ts';
import { EMPTY_LEAF, leafHashInto, merkleRoot } from './merkle.ts';

/** What every digest begins with: another way to compute it gets another tag. */
const DIGEST_TAG = 'vmdn-disk/1';

/** The leaf hashes (32 bytes each) of all segments of a disk, zero ones included, in disk order. */
export function segmentLeaves(recipe: Recipe): Uint8Array {
  return rangeLeaves(
    segmentCount(recipe.virtualSizeBytes),
    (segment) => isSegmentNonZero(recipe, segment),
    recipe.segmentHashes,
  );
}

/** Leaf hashes of `count` segments in a row, of which `nonZero` names those that own a hash row. */
export function rangeLeaves(
  count: number,
  nonZero: (index: number) => boolean,
  hashes: Uint8Array,
): Uint8Array {
  const leaves = new Uint8Array(count * HASH_BYTES);
  let row = 0;
  for (let index = 0; index < count; index += 1) {
    const at = index * HASH_BYTES;
    if (nonZero(index)) {
      leafHashInto(hashes.subarray(row, row + HASH_BYTES), leaves, at);
      row += HASH_BYTES;
    } else {
      leaves.set(EMPTY_LEAF, at);
    }
  }
  return leaves;
}

/** The digest of a disk of this size whose segments have this Merkle root (32 bytes). */
export function diskDigest(virtualSizeBytes: number, segmentsRoot: Uint8Array): Digest {
  const tag = new TextEncoder().encode(DIGEST_TAG);
  const bytes = new Uint8Array(tag.length + 8 + HASH_BYTES);
  bytes.set(tag, 0);
  new DataView(bytes.buffer).setBigUint64(tag.length, BigInt(virtualSizeBytes), true);
  bytes.set(segmentsRoot, tag.length + 8);
  return hash('sha256', bytes, 'hex') as Digest;
}

/** The digest that a recipe's segment column stands for. */
export function digestOfRecipe(recipe: Recipe): Digest {
  const leaves = segmentLeaves(recipe);
  const root = merkleRoot(leaves);
  giveBack(leaves);
  return diskDigest(recipe.virtualSizeBytes, root);
}
