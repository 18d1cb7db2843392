/**
 * Room: io, store. Reads an image through and compares every segment with its recipe.
 *
 * I1: a file passes only when each non-zero segment has its hash, each other segment is zero, and the
 *     image's own file is exactly as long as it should be.
 * I2: it is read by its guest-visible bytes: of an image that shares storage, the base's part too.
 */

import type { ImageLayers } from '../../domain/layers.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { isSegmentNonZero } from '../../domain/recipe.ts';
import { SEGMENT_BYTES, segmentCount, segmentLengthBytes } from '../../domain/units.ts';
import { isZero, segmentMatches } from '../../formats/segment-hash.ts';
import { type LayeredFile, openLayeredFile } from '../files/layered-file.ts';

/** Segments read at once: 4 MiB, a fraction of a second of any disk. */
const BATCH_SEGMENTS = 64;

/**
 * The first segment that differs, -1 when the length of the own file is not `ownBytes`, null when the
 * image is right. Of an image some of whose segments are proven otherwise, only those that `isChecked` names
 * are looked at. Throws `not_found` when one of its files is gone.
 */
export async function firstBadSegment(
  layers: ImageLayers,
  recipe: Recipe,
  ownBytes: number,
  isChecked: (segment: number) => boolean = () => true,
): Promise<number | null> {
  const file = await openLayeredFile(layers);
  try {
    return file.ownBytes === ownBytes ? await firstBadIn(file, recipe, isChecked) : -1;
  } finally {
    await file.close();
  }
}

async function firstBadIn(
  file: LayeredFile,
  recipe: Recipe,
  isChecked: (segment: number) => boolean,
): Promise<number | null> {
  const { virtualSizeBytes } = recipe;
  const buffer = Buffer.allocUnsafe(BATCH_SEGMENTS * SEGMENT_BYTES);
  const segments = segmentCount(virtualSizeBytes);
  let row = 0;
  for (let first = 0; first < segments; first += BATCH_SEGMENTS) {
    const offsetBytes = first * SEGMENT_BYTES;
    const lengthBytes = Math.min(buffer.length, virtualSizeBytes - offsetBytes);
    const end = Math.min(first + BATCH_SEGMENTS, segments);
    const isAnyChecked = anyOf(first, end, isChecked);
    if (isAnyChecked && !(await file.readInto(buffer.subarray(0, lengthBytes), offsetBytes))) {
      return -1;
    }
    for (let segment = first; segment < end; segment += 1) {
      const at = (segment - first) * SEGMENT_BYTES;
      const bytes = buffer.subarray(at, at + segmentLengthBytes(virtualSizeBytes, segment));
      const isNonZero = isSegmentNonZero(recipe, segment);
      if (isChecked(segment)) {
        const isRight = isNonZero
          ? segmentMatches(bytes, recipe.segmentHashes, row)
          : isZero(bytes);
        if (!isRight) return segment;
      }
      if (isNonZero) row += 1;
    }
  }
  return null;
}

function anyOf(from: number, to: number, isChecked: (segment: number) => boolean): boolean {
  for (let segment = from; segment < to; segment += 1) if (isChecked(segment)) return true;
  return false;
}
