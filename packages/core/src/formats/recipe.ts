/**
 * Room: formats. The recipe file (docs/formats/recipe.md): a 64-byte header, then flat columns.
 *
 * I1: every recipe has exactly one encoding: encode(decode(bytes)) = bytes, or decode throws.
 * I2: decode is total: wrong magic, length, count, mask or bit throws `corrupt`, a size beyond the
 *     limits `too_large`; nothing is allocated that the length of the input does not pay for.
 * I3: decode copies nothing where the bytes lie on a 4-byte boundary.
 * I4: a recipe is believed when `verifyRecipe` found both of its roots, not before.
 *
 * All numbers are little-endian, like every machine this runs on (asserted at load).
 */

import type { Digest, MerkleRoot } from '../domain/digest.ts';
import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { MAX_DISK_BYTES, MAX_RECIPE_BYTES } from '../domain/limits.ts';
import type { Recipe } from '../domain/recipe.ts';
import { nonZeroBlockCount, nonZeroSegmentCount } from '../domain/recipe.ts';
import { popcount32 } from '../domain/recipe-index.ts';
import {
  BLOCKS_PER_SEGMENT,
  blockCount,
  divCeil,
  SECTOR_BYTES,
  segmentCount,
} from '../domain/units.ts';
import { digestOfRecipe } from './disk-digest.ts';
import { keysRootOfRecipe } from './key-pages.ts';

export const RECIPE_MAGIC = 'VMDNRCP1';
export const RECIPE_VERSION = 1;
export const RECIPE_HEADER_BYTES = 64;

if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) {
  throw new Error('recipe.ts: this machine is big-endian; the columns are little-endian');
}

interface Layout {
  readonly bitmapBytes: number;
  readonly hashesAt: number;
  readonly masksAt: number;
  readonly keysAt: number;
  readonly totalBytes: number;
}

/** Where the columns of a recipe lie in its file. Every column begins on an 8-byte boundary. */
function layoutOf(virtualSizeBytes: number, segments: number, blocks: number): Layout {
  const bitmapBytes = bitmapLength(virtualSizeBytes);
  const hashesAt = RECIPE_HEADER_BYTES + bitmapBytes;
  const masksAt = hashesAt + segments * HASH_BYTES;
  const keysAt = masksAt + divCeil(segments * 2, 8) * 8;
  return { bitmapBytes, hashesAt, masksAt, keysAt, totalBytes: keysAt + blocks * 8 };
}

/** Bytes of the segment bitmap of a disk of this size: padded to a multiple of 8. */
export function bitmapLength(virtualSizeBytes: number): number {
  return divCeil(segmentCount(virtualSizeBytes), 64) * 8;
}

/** How many bytes the file of this recipe has. */
export function recipeFileBytes(recipe: Recipe): number {
  const { virtualSizeBytes } = recipe;
  return recipeLength(virtualSizeBytes, nonZeroSegmentCount(recipe), nonZeroBlockCount(recipe));
}

/** How many bytes a recipe file with so many rows and keys has. Throws `too_large`. */
export function recipeLength(virtualSizeBytes: number, rows: number, keys: number): number {
  const { totalBytes } = layoutOf(virtualSizeBytes, rows, keys);
  if (totalBytes > MAX_RECIPE_BYTES) throw tooLarge(totalBytes);
  return totalBytes;
}

/** A recipe in the bytes of its file: the columns are views into them. */
export interface RecipeFileBytes {
  readonly bytes: Uint8Array;
  readonly recipe: Recipe;
}

/**
 * The file of a recipe whose masks, hashes and keys are to be filled in, in place: a large recipe need not be
 * in memory twice to become a file. Throws `too_large`.
 */
export function blankRecipe(
  { virtualSizeBytes, segmentBitmap }: Pick<Recipe, 'virtualSizeBytes' | 'segmentBitmap'>,
  rows: number,
  keys: number,
): RecipeFileBytes {
  const layout = layoutOf(virtualSizeBytes, rows, keys);
  if (layout.totalBytes > MAX_RECIPE_BYTES) throw tooLarge(layout.totalBytes);
  const bytes = new Uint8Array(layout.totalBytes);
  bytes.set(encodeHeader(virtualSizeBytes, rows, keys), 0);
  bytes.set(segmentBitmap, RECIPE_HEADER_BYTES);
  return { bytes, recipe: viewsOf(bytes, layout, virtualSizeBytes, rows, keys) };
}

/** The recipe as the bytes of its file. */
export function encodeRecipe(recipe: Recipe): Uint8Array {
  const file = blankRecipe(recipe, nonZeroSegmentCount(recipe), nonZeroBlockCount(recipe));
  file.recipe.segmentHashes.set(recipe.segmentHashes);
  file.recipe.blockMasks.set(recipe.blockMasks);
  file.recipe.keys.set(recipe.keys);
  return file.bytes;
}

/** The same piece by piece: views of the columns, nothing is copied. */
export function* recipePieces(recipe: Recipe): Generator<Uint8Array> {
  const { virtualSizeBytes } = recipe;
  const [rows, keys] = [nonZeroSegmentCount(recipe), nonZeroBlockCount(recipe)];
  const { masksAt, keysAt } = layoutOf(virtualSizeBytes, rows, keys);
  yield encodeHeader(virtualSizeBytes, rows, keys);
  yield recipe.segmentBitmap;
  yield recipe.segmentHashes;
  yield bytesOf(recipe.blockMasks);
  yield new Uint8Array(keysAt - masksAt - rows * 2);
  yield bytesOf(recipe.keys);
}

function encodeHeader(virtualSizeBytes: number, rows: number, keys: number): Uint8Array {
  const bytes = new Uint8Array(RECIPE_HEADER_BYTES);
  const header = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(RECIPE_MAGIC), 0);
  header.setUint32(8, RECIPE_VERSION, true);
  header.setBigUint64(16, BigInt(virtualSizeBytes), true);
  header.setUint32(24, rows, true);
  header.setUint32(28, keys, true);
  return bytes;
}

/** The columns of a file, as views; it lies on a 4-byte boundary. */
function viewsOf(
  bytes: Uint8Array,
  layout: Layout,
  virtualSizeBytes: number,
  rows: number,
  keys: number,
): Recipe {
  const at = bytes.byteOffset;
  return {
    virtualSizeBytes,
    segmentBitmap: bytes.subarray(RECIPE_HEADER_BYTES, layout.hashesAt),
    segmentHashes: bytes.subarray(layout.hashesAt, layout.masksAt),
    blockMasks: new Uint16Array(bytes.buffer, at + layout.masksAt, rows),
    keys: new Uint32Array(bytes.buffer, at + layout.keysAt, keys * 2),
  };
}

/** Reads a recipe file. The columns are views into `bytes` where alignment allows (I3). */
export function decodeRecipe(bytes: Uint8Array): Recipe {
  if (bytes.length > MAX_RECIPE_BYTES) throw tooLarge(bytes.length);
  if (bytes.length < RECIPE_HEADER_BYTES) throw corrupt('shorter than its header');
  const header = new DataView(bytes.buffer, bytes.byteOffset, RECIPE_HEADER_BYTES);
  for (let i = 0; i < RECIPE_MAGIC.length; i += 1) {
    if (bytes[i] !== RECIPE_MAGIC.charCodeAt(i)) throw corrupt('no recipe: wrong magic');
  }
  const version = header.getUint32(8, true);
  if (version !== RECIPE_VERSION) {
    throw new VmdnError('incompatible_protocol', 'This recipe has a newer format; update VMDN.', {
      data: { version },
    });
  }
  const virtualSizeBytes = parseDiskSize(header.getBigUint64(16, true));
  const segments = header.getUint32(24, true);
  const blocks = header.getUint32(28, true);
  for (let i = 0; i < RECIPE_HEADER_BYTES; i += 1) {
    if (((i >= 12 && i < 16) || i >= 32) && bytes[i] !== 0) throw corrupt('reserved bytes are set');
  }
  const layout = layoutOf(virtualSizeBytes, segments, blocks);
  if (layout.totalBytes !== bytes.length) throw corrupt('its length is not what its counts say');

  // A plain view: the slices and columns of a Buffer would be Buffers, which never copy.
  const isAligned = bytes.byteOffset % 4 === 0;
  const aligned = isAligned ? bytesOf(bytes) : new Uint8Array(bytes);
  const recipe = viewsOf(aligned, layout, virtualSizeBytes, segments, blocks);
  for (let i = layout.masksAt + segments * 2; i < layout.keysAt; i += 1) {
    if (aligned[i] !== 0) throw corrupt('padding is set');
  }
  checkRecipe(recipe);
  return recipe;
}

/** Checks invariants I1-I3 of domain/recipe.ts. Throws `corrupt`. */
export function checkRecipe(recipe: Recipe): void {
  const { virtualSizeBytes, segmentBitmap, segmentHashes, blockMasks, keys } = recipe;
  const segments = segmentCount(virtualSizeBytes);
  const rows = blockMasks.length;
  checkSegmentBitmap(virtualSizeBytes, segmentBitmap, rows);
  if (segmentHashes.length !== rows * HASH_BYTES) throw corrupt('hash column length');
  let set = 0;
  for (const mask of blockMasks) {
    if (mask === 0) throw corrupt('a non-zero segment without a non-zero block');
    set += popcount32(mask);
  }
  if (set * 2 !== keys.length) throw corrupt('the masks do not agree with the block count');
  const tail = blockCount(virtualSizeBytes) % BLOCKS_PER_SEGMENT;
  const last = segments - 1;
  const lastIsNonZero = segments > 0 && ((segmentBitmap[last >>> 3]! >>> (last & 7)) & 1) === 1;
  if (tail !== 0 && lastIsNonZero && blockMasks[rows - 1]! >>> tail !== 0) {
    throw corrupt('a block past the end of the disk');
  }
}

/** Checks that a segment bitmap fits the disk and has `rows` bits set. Throws `corrupt`. */
export function checkSegmentBitmap(
  virtualSizeBytes: number,
  segmentBitmap: Uint8Array,
  rows: number,
): void {
  if (segmentBitmap.length !== bitmapLength(virtualSizeBytes)) throw corrupt('bitmap length');
  let set = 0;
  for (const byte of segmentBitmap) set += popcount32(byte);
  if (set !== rows) throw corrupt('the bitmap does not agree with the segment count');
  for (let i = segmentCount(virtualSizeBytes); i < segmentBitmap.length * 8; i += 1) {
    if (((segmentBitmap[i >>> 3]! >>> (i & 7)) & 1) === 1) throw corrupt('a bit past the end');
  }
}

/** Recomputes both roots of a recipe. Throws `corrupt` when either differs from what was promised. */
export function verifyRecipe(
  recipe: Recipe,
  promised: { readonly digest: Digest; readonly keysRoot: MerkleRoot },
): void {
  const digest = digestOfRecipe(recipe);
  if (digest !== promised.digest) {
    throw new VmdnError('corrupt', 'A recipe is not that of the promised disk; fetch it again.', {
      data: { promised: promised.digest, found: digest },
    });
  }
  const keysRoot = keysRootOfRecipe(recipe);
  if (keysRoot !== promised.keysRoot) {
    throw new VmdnError(
      'corrupt',
      "A recipe's match keys are not the signed ones; fetch it again.",
      {
        data: { promised: promised.keysRoot, found: keysRoot },
      },
    );
  }
}

/** A disk size from outside: a multiple of 512 within the limit. Throws `corrupt` or `too_large`. */
export function parseDiskSize(raw: bigint): number {
  if (raw > BigInt(MAX_DISK_BYTES)) {
    throw new VmdnError('too_large', 'A disk larger than 8 TiB is not supported.', {
      data: { virtualSizeBytes: raw.toString() },
    });
  }
  const size = Number(raw);
  if (size < 0 || size % SECTOR_BYTES !== 0) throw corrupt('its size is no multiple of 512 bytes');
  return size;
}

/** The bytes that lie behind a column. */
export function bytesOf(column: Uint8Array | Uint16Array | Uint32Array): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
}

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `A recipe cannot be used (${what}); fetch it again.`, {
    data: { what },
  });
}

function tooLarge(bytes: number): VmdnError {
  return new VmdnError('too_large', 'A recipe over 2 GiB is not supported; use a smaller disk.', {
    data: { bytes },
  });
}
