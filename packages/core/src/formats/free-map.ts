/**
 * Room: formats. The file that keeps the free ranges of a disk (docs/formats/free-map.md).
 *
 * I1: decode is total: anything that is not exactly what `encodeFreeMap` writes throws `corrupt`.
 */

import { hash } from 'node:crypto';
import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { areFreeRanges, type FreeRanges } from '../domain/free-ranges.ts';
import { FREE_RANGES_MAX } from '../domain/limits.ts';

const MAGIC = new TextEncoder().encode('VMDNFRE1');
const HEADER_BYTES = 24;
const RANGE_BYTES = 16;

/** The longest file. */
export const FREE_MAP_BYTES_MAX = HEADER_BYTES + FREE_RANGES_MAX * RANGE_BYTES + HASH_BYTES;

/** The free ranges of a disk of this size as the bytes of their file. */
export function encodeFreeMap(ranges: FreeRanges, virtualSizeBytes: number): Uint8Array {
  const checkedBytes = HEADER_BYTES + ranges.length * 8;
  const bytes = new Uint8Array(checkedBytes + HASH_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC, 0);
  view.setBigUint64(8, BigInt(virtualSizeBytes), true);
  view.setUint32(16, ranges.length / 2, true);
  for (let i = 0; i < ranges.length; i += 1) {
    view.setUint32(HEADER_BYTES + i * 8, ranges[i]! % 2 ** 32, true);
    view.setUint32(HEADER_BYTES + i * 8 + 4, Math.floor(ranges[i]! / 2 ** 32), true);
  }
  bytes.set(hash('sha256', bytes.subarray(0, checkedBytes), 'buffer'), checkedBytes);
  return bytes;
}

/** Reads the file of a disk of this size. Throws `corrupt`. */
export function decodeFreeMap(bytes: Uint8Array, virtualSizeBytes: number): FreeRanges {
  const checkedBytes = bytes.length - HASH_BYTES;
  if (checkedBytes < HEADER_BYTES) throw corrupt();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = view.getUint32(16, true);
  const isWhole =
    MAGIC.every((byte, i) => bytes[i] === byte) &&
    view.getBigUint64(8, true) === BigInt(virtualSizeBytes) &&
    view.getUint32(20, true) === 0 &&
    checkedBytes === HEADER_BYTES + count * RANGE_BYTES &&
    hash('sha256', bytes.subarray(0, checkedBytes), 'hex') ===
      Buffer.from(bytes.subarray(checkedBytes)).toString('hex');
  if (!isWhole) throw corrupt();
  const ranges = new Float64Array(count * 2);
  for (let i = 0; i < ranges.length; i += 1) {
    const at = HEADER_BYTES + i * 8;
    ranges[i] = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  }
  if (!areFreeRanges(ranges, virtualSizeBytes)) throw corrupt();
  return ranges;
}

function corrupt(): VmdnError {
  return new VmdnError('corrupt', 'A map of free space is damaged; the disk is described anew.');
}
