/**
 * Room: formats. The outline of a recipe (docs/formats/recipe-outline.md): a 32-byte header, the segment
 * bitmap, and the first 8 bytes of each non-zero segment's SHA-256.
 *
 * I1: every outline has exactly one encoding, and is never longer than its recipe.
 * I2: decode is total: wrong magic, length, count or bit throws `corrupt`, a size beyond the limits
 *     `too_large`; nothing is allocated that the length of the input does not pay for.
 * I3: nothing of an outline is believed: the recipe that is put together with it is verified.
 */

import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import type { Recipe } from '../domain/recipe.ts';
import { nonZeroBlockCount, nonZeroSegmentCount } from '../domain/recipe.ts';
import { PREFIX_BYTES, type RecipeOutline } from '../domain/recipe-outline.ts';
import { BLOCKS_PER_SEGMENT } from '../domain/units.ts';
import { cutRows, inPieces } from './column-pieces.ts';
import {
  bitmapLength,
  bytesOf,
  checkSegmentBitmap,
  parseDiskSize,
  recipeLength,
} from './recipe.ts';

export const OUTLINE_MAGIC = 'VMDNOUT1';
const HEADER_BYTES = 32;

/** The outline of a recipe as bytes, in pieces of their own memory. */
export function outlinePieces(recipe: Recipe): Generator<Uint8Array> {
  return inPieces(outlineParts(recipe));
}

/** How many bytes the outline of this recipe has. */
export function outlineLength(recipe: Recipe): number {
  return HEADER_BYTES + recipe.segmentBitmap.length + nonZeroSegmentCount(recipe) * PREFIX_BYTES;
}

function* outlineParts(recipe: Recipe): Generator<Uint8Array> {
  const count = nonZeroSegmentCount(recipe);
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  const bytes = new Uint8Array(header.buffer);
  bytes.set(new TextEncoder().encode(OUTLINE_MAGIC), 0);
  header.setBigUint64(8, BigInt(recipe.virtualSizeBytes), true);
  header.setUint32(16, count, true);
  header.setUint32(20, nonZeroBlockCount(recipe), true);
  yield bytes;
  yield recipe.segmentBitmap;
  const rows = { first: 0, count };
  yield* cutRows(recipe.segmentHashes, HASH_BYTES, rows, { from: 0, to: PREFIX_BYTES });
}

/** Reads an outline. The columns are views into `bytes` where alignment allows. */
export function decodeOutline(bytes: Uint8Array): RecipeOutline {
  if (bytes.length < HEADER_BYTES) throw corrupt('shorter than its header');
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  for (let i = 0; i < OUTLINE_MAGIC.length; i += 1) {
    if (bytes[i] !== OUTLINE_MAGIC.charCodeAt(i)) throw corrupt('wrong magic');
  }
  const virtualSizeBytes = parseDiskSize(header.getBigUint64(8, true));
  const rows = header.getUint32(16, true);
  const keyCount = header.getUint32(20, true);
  if (header.getBigUint64(24, true) !== 0n) throw corrupt('reserved bytes are set');
  if (keyCount < rows || keyCount > rows * BLOCKS_PER_SEGMENT)
    throw corrupt('too few or many keys');
  recipeLength(virtualSizeBytes, rows, keyCount);
  const prefixesAt = HEADER_BYTES + bitmapLength(virtualSizeBytes);
  if (bytes.length !== prefixesAt + rows * PREFIX_BYTES) throw corrupt('wrong length');
  const aligned = bytes.byteOffset % 4 === 0 ? bytesOf(bytes) : new Uint8Array(bytes);
  const segmentBitmap = aligned.subarray(HEADER_BYTES, prefixesAt);
  checkSegmentBitmap(virtualSizeBytes, segmentBitmap, rows);
  const at = aligned.byteOffset + prefixesAt;
  const prefixes = new Uint32Array(aligned.buffer, at, (rows * PREFIX_BYTES) / 4);
  return { virtualSizeBytes, segmentBitmap, keyCount, prefixes };
}

function corrupt(what: string): VmdnError {
  return new VmdnError(
    'corrupt',
    `The outline of a recipe is wrong (${what}); ask another source.`,
    {
      data: { what },
    },
  );
}
