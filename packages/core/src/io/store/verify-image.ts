/**
 * Room: io, store. Reads an image through and compares every segment with its recipe.
 *
 * I1: a file passes only when each non-zero segment has its hash, each other segment is zero, and the
 *     file is exactly as long as the disk.
 */

import type { FileHandle } from 'node:fs/promises';
import type { Recipe } from '../../domain/recipe.ts';
import { isSegmentNonZero } from '../../domain/recipe.ts';
import { SEGMENT_BYTES, segmentCount, segmentLengthBytes } from '../../domain/units.ts';
import { isZero, segmentMatches } from '../../formats/segment-hash.ts';

/** Segments read at once: 4 MiB, a fraction of a second of any disk. */
const BATCH_SEGMENTS = 64;

/** The first segment that differs, -1 when the length does, null when the image is right. */
export async function firstBadSegment(file: FileHandle, recipe: Recipe): Promise<number | null> {
  const { virtualSizeBytes } = recipe;
  if ((await file.stat()).size !== virtualSizeBytes) return -1;
  const buffer = Buffer.allocUnsafe(BATCH_SEGMENTS * SEGMENT_BYTES);
  const segments = segmentCount(virtualSizeBytes);
  let row = 0;
  for (let first = 0; first < segments; first += BATCH_SEGMENTS) {
    const offsetBytes = first * SEGMENT_BYTES;
    const lengthBytes = Math.min(buffer.length, virtualSizeBytes - offsetBytes);
    if (!(await readFully(file, buffer.subarray(0, lengthBytes), offsetBytes))) return -1;
    const end = Math.min(first + BATCH_SEGMENTS, segments);
    for (let segment = first; segment < end; segment += 1) {
      const at = (segment - first) * SEGMENT_BYTES;
      const bytes = buffer.subarray(at, at + segmentLengthBytes(virtualSizeBytes, segment));
      const isNonZero = isSegmentNonZero(recipe, segment);
      const isRight = isNonZero ? segmentMatches(bytes, recipe.segmentHashes, row) : isZero(bytes);
      if (!isRight) return segment;
      if (isNonZero) row += 1;
    }
  }
  return null;
}

/** Fills `target` from the file. False when the file ends before. */
export async function readFully(
  file: FileHandle,
  target: Uint8Array,
  offsetBytes: number,
): Promise<boolean> {
  let filled = 0;
  while (filled < target.length) {
    const left = target.length - filled;
    const { bytesRead } = await file.read(target, filled, left, offsetBytes + filled);
    if (bytesRead === 0) return false;
    filled += bytesRead;
  }
  return true;
}
