/**
 * Room: formats. A range of one recipe column that verifies alone (docs/formats/recipe.md, section Ranges).
 *
 * I1: segments [from, to) carry their bitmap bits, hashes and a Merkle proof to the digest; pages
 *     [from, to) carry their bytes and a proof to keysRoot.
 * I2: decode believes only the digest, keysRoot and virtual size that the caller trusts; every byte of
 *     the range is bound by them, and no other encoding of the same range is accepted.
 * I3: decode is total: whatever the bytes, it returns the range or throws `corrupt`.
 */

import type { Digest, MerkleRoot } from '../domain/digest.ts';
import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { MAX_RANGE_PAGES, MAX_RANGE_SEGMENTS, SEGMENTS_PER_PAGE } from '../domain/limits.ts';
import type { Recipe } from '../domain/recipe.ts';
import { buildRecipeIndex, popcount32 } from '../domain/recipe-index.ts';
import { BLOCKS_PER_SEGMENT, blockCount, divCeil, segmentCount } from '../domain/units.ts';
import { diskDigest, rangeLeaves, segmentLeaves } from './disk-digest.ts';
import { type PageCursor, pageBytes, pageCount, pageLeaves, rootToHex } from './key-pages.ts';
import type { MerkleTree } from './merkle.ts';
import {
  leafHashInto,
  merkleProofCount,
  merkleRangeProof,
  merkleRootFromRange,
  merkleTree,
} from './merkle.ts';

export const RANGE_MAGIC = 'VMDNRNG1';
const HEADER_BYTES = 32;
const COLUMN_CODES = { segments: 1, keys: 2 } as const;

export type RecipeColumn = keyof typeof COLUMN_CODES;

/** Segments [from, to): bit i of `bitmap` is segment from + i, `hashes` has a row for each set bit. */
export interface SegmentRange {
  readonly from: number;
  readonly to: number;
  readonly bitmap: Uint8Array;
  readonly hashes: Uint8Array;
}

/** Pages [from, to): a mask for each of their segments, zero ones included, and the keys in order. */
export interface KeyRange {
  readonly from: number;
  readonly to: number;
  readonly masks: Uint16Array;
  readonly keys: Uint32Array;
}

/** Encodes ranges of one recipe, keeping its trees. */
export interface RangeProver {
  /** Units: segments for 'segments', pages of 64 segments for 'keys'. Throws `invalid_input`. */
  encode(column: RecipeColumn, from: number, to: number): Uint8Array;
}

/** Prepares a recipe for many ranges. Trees are built on first use and kept. */
export function createRangeProver(recipe: Recipe): RangeProver {
  const index = buildRecipeIndex(recipe);
  let segments: MerkleTree | undefined;
  let pages: MerkleTree | undefined;
  return {
    encode(column, from, to) {
      checkLimit(column, to - from);
      if (column === 'segments') {
        segments ??= merkleTree(segmentLeaves(recipe));
        const proof = merkleRangeProof(segments, from, to);
        return join(column, from, to, [segmentPayload(recipe, index.rowOf, from, to), proof]);
      }
      pages ??= merkleTree(pageLeaves(recipe));
      const proof = merkleRangeProof(pages, from, to);
      const cursor = cursorAt(index, recipe, from);
      const parts: Uint8Array[] = [];
      for (let page = from; page < to; page += 1) parts.push(pageBytes(recipe, page, cursor));
      return join(column, from, to, [...parts, proof]);
    },
  };
}

/** One range of one recipe; for many ranges use `createRangeProver`. */
export function encodeRecipeRange(
  recipe: Recipe,
  column: RecipeColumn,
  from: number,
  to: number,
): Uint8Array {
  return createRangeProver(recipe).encode(column, from, to);
}

/** Which range was asked for, and of which disk. */
interface Asked {
  readonly virtualSizeBytes: number;
  readonly from: number;
  readonly to: number;
}

/** Reads and verifies the range of the segment column that was asked for. */
export function decodeSegmentRange(
  bytes: Uint8Array,
  trusted: Asked & { readonly digest: Digest },
): SegmentRange {
  const { from, to } = trusted;
  const leafCount = segmentCount(trusted.virtualSizeBytes);
  checkHeader(bytes, 'segments', trusted);
  const count = to - from;
  const bitmapBytes = divCeil(count, 8);
  if (bytes.length < HEADER_BYTES + bitmapBytes) throw corrupt('truncated');
  const bitmap = new Uint8Array(bytes.subarray(HEADER_BYTES, HEADER_BYTES + bitmapBytes));
  const isSet = (i: number): boolean => ((bitmap[i >>> 3]! >>> (i & 7)) & 1) === 1;
  for (let i = count; i < bitmapBytes * 8; i += 1) if (isSet(i)) throw corrupt('padding is set');
  let rows = 0;
  for (const byte of bitmap) rows += popcount32(byte);
  const hashesAt = HEADER_BYTES + bitmapBytes;
  const proofAt = hashesAt + rows * HASH_BYTES;
  checkLength(bytes, proofAt, leafCount, from, to);
  const hashes = new Uint8Array(bytes.subarray(hashesAt, proofAt));
  const leafHashes = rangeLeaves(count, isSet, hashes);
  const proof = bytes.subarray(proofAt);
  const root = merkleRootFromRange({ leafCount, from, to, leafHashes, proof });
  if (diskDigest(trusted.virtualSizeBytes, root) !== trusted.digest) throw corrupt('wrong digest');
  return { from, to, bitmap, hashes };
}

/** Reads and verifies the range of key pages that was asked for. */
export function decodeKeyRange(
  bytes: Uint8Array,
  trusted: Asked & { readonly keysRoot: MerkleRoot },
): KeyRange {
  const { virtualSizeBytes, keysRoot, from, to } = trusted;
  const leafCount = pageCount(virtualSizeBytes);
  checkHeader(bytes, 'keys', trusted);
  const segments = Math.min(to * SEGMENTS_PER_PAGE, segmentCount(virtualSizeBytes));
  const masks = new Uint16Array(segments - from * SEGMENTS_PER_PAGE);
  const leafHashes = new Uint8Array((to - from) * HASH_BYTES);
  const keyParts: Uint8Array[] = [];
  let at = HEADER_BYTES;
  let keyBytes = 0;
  for (let page = from; page < to; page += 1) {
    const firstMask = (page - from) * SEGMENTS_PER_PAGE;
    const maskCount = Math.min(SEGMENTS_PER_PAGE, masks.length - firstMask);
    const keysAt = at + maskCount * 2;
    if (bytes.length < keysAt) throw corrupt('truncated');
    let keyCount = 0;
    for (let i = 0; i < maskCount; i += 1) {
      const mask = bytes[at + 2 * i]! | (bytes[at + 2 * i + 1]! << 8);
      masks[firstMask + i] = mask;
      keyCount += popcount32(mask);
    }
    const end = keysAt + keyCount * 8;
    if (bytes.length < end) throw corrupt('truncated');
    leafHashInto(bytes.subarray(at, end), leafHashes, (page - from) * HASH_BYTES);
    keyParts.push(bytes.subarray(keysAt, end));
    keyBytes += keyCount * 8;
    at = end;
  }
  checkLength(bytes, at, leafCount, from, to);
  const root = merkleRootFromRange({ leafCount, from, to, leafHashes, proof: bytes.subarray(at) });
  if (rootToHex(root) !== keysRoot) throw corrupt('wrong keysRoot');
  checkTail(masks, segments, virtualSizeBytes);
  return { from, to, masks, keys: joinKeys(keyParts, keyBytes) };
}

/** The signer may be hostile too: no bit past the end of the disk, even under a right root. */
function checkTail(masks: Uint16Array, endSegment: number, virtualSizeBytes: number): void {
  const tail = blockCount(virtualSizeBytes) % BLOCKS_PER_SEGMENT;
  if (tail === 0 || endSegment !== segmentCount(virtualSizeBytes)) return;
  if (masks[masks.length - 1]! >>> tail !== 0) throw corrupt('a block past the end of the disk');
}

function joinKeys(parts: readonly Uint8Array[], bytes: number): Uint32Array {
  const keys = new Uint32Array(bytes / 4);
  const target = new Uint8Array(keys.buffer);
  let at = 0;
  for (const part of parts) {
    target.set(part, at);
    at += part.length;
  }
  return keys;
}

/** Bitmap bits of [from, to), shifted to bit 0 and padded to a byte, then their hash rows. */
function segmentPayload(
  recipe: Recipe,
  rowOf: (segment: number) => number,
  from: number,
  to: number,
): Uint8Array {
  const bitmap = new Uint8Array(divCeil(to - from, 8));
  let [firstRow, rows] = [-1, 0];
  for (let segment = from; segment < to; segment += 1) {
    const row = rowOf(segment);
    if (row < 0) continue;
    if (firstRow < 0) firstRow = row;
    rows += 1;
    bitmap[(segment - from) >>> 3]! |= 1 << ((segment - from) & 7);
  }
  const payload = new Uint8Array(bitmap.length + rows * HASH_BYTES);
  payload.set(bitmap, 0);
  if (rows > 0) {
    const at = firstRow * HASH_BYTES;
    payload.set(recipe.segmentHashes.subarray(at, at + rows * HASH_BYTES), bitmap.length);
  }
  return payload;
}

/** The cursor at a page's first row: the row of the first non-zero segment at or after it. */
function cursorAt(
  index: ReturnType<typeof buildRecipeIndex>,
  recipe: Recipe,
  page: number,
): PageCursor {
  const first = page * SEGMENTS_PER_PAGE;
  const { segmentOfRow } = index;
  let [low, high] = [0, recipe.blockMasks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (segmentOfRow[middle]! < first) low = middle + 1;
    else high = middle;
  }
  return { row: low, keyIndex: index.firstKeyOf(low) };
}

function join(
  column: RecipeColumn,
  from: number,
  to: number,
  parts: readonly Uint8Array[],
): Uint8Array {
  let length = HEADER_BYTES;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  const header = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(RANGE_MAGIC), 0);
  header.setUint32(8, COLUMN_CODES[column], true);
  header.setUint32(16, from, true);
  header.setUint32(20, to, true);
  let at = HEADER_BYTES;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function checkHeader(bytes: Uint8Array, column: RecipeColumn, asked: Asked): void {
  checkLimit(column, asked.to - asked.from);
  if (bytes.length < HEADER_BYTES) throw corrupt('truncated');
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  for (let i = 0; i < RANGE_MAGIC.length; i += 1) {
    if (bytes[i] !== RANGE_MAGIC.charCodeAt(i)) throw corrupt('wrong magic');
  }
  if (header.getUint32(8, true) !== COLUMN_CODES[column]) throw corrupt('wrong column');
  if (header.getUint32(12, true) !== 0 || header.getBigUint64(24, true) !== 0n) {
    throw corrupt('reserved bytes are set');
  }
  if (header.getUint32(16, true) !== asked.from || header.getUint32(20, true) !== asked.to) {
    throw corrupt('not the range that was asked for');
  }
}

function checkLimit(column: RecipeColumn, count: number): void {
  const max = column === 'segments' ? MAX_RANGE_SEGMENTS : MAX_RANGE_PAGES;
  if (count <= max) return;
  throw new VmdnError(
    'invalid_input',
    `A range of a recipe has at most ${max} ${column}; ask for less.`,
    {
      data: { column, count, max },
    },
  );
}

function checkLength(
  bytes: Uint8Array,
  proofAt: number,
  leafCount: number,
  from: number,
  to: number,
): void {
  const expected = proofAt + merkleProofCount(leafCount, from, to) * HASH_BYTES;
  if (bytes.length !== expected) throw corrupt('its length is not what its counts say');
}

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `A range of a recipe is wrong (${what}); ask another source.`, {
    data: { what },
  });
}
