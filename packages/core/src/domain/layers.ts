/**
 * Room: domain. Where the guest-visible bytes of an image lie: in one file, or for each segment in one of
 * several. Whoever reads an image asks here; there is no second way.
 *
 * I1: every segment of an image lies whole in exactly one of its files, or in none and is zero.
 * I2: inside one file the bytes of a disk keep their distances: byte n is at `offsetBytes` + n.
 */

import { hasBit } from './bitmap.ts';
import type { Recipe } from './recipe.ts';
import { SEGMENT_BYTES, segmentCount } from './units.ts';

/** In `fileOfSegment`: the segment is zero, whatever a file holds there. */
export const ZERO_FILE = 0xff;
/** In `fileOfSegment`: the image's own file. */
export const OWN_FILE = 0;
/** In `fileOfSegment`: the image that this one shares storage with. */
export const BASE_FILE = 1;

export interface LayerFile {
  /** Absolute path. */
  readonly path: string;
  /** Where byte 0 of the disk would lie in the file. */
  readonly offsetBytes: number;
}

export interface ImageLayers {
  /** The image's own file first. */
  readonly files: readonly LayerFile[];
  /** For each segment the number of its file, or ZERO_FILE; null: all lie in the first. */
  readonly fileOfSegment: Uint8Array | null;
}

/** A stretch of a disk in one file. */
export interface LayerSpan {
  /** Number of the file, or ZERO_FILE. */
  readonly file: number;
  readonly positionBytes: number;
  readonly lengthBytes: number;
}

/** The layers of a raw file. */
export function rawLayers(path: string): ImageLayers {
  return { files: [{ path, offsetBytes: 0 }], fileOfSegment: null };
}

/** Number of the file that holds a segment, or ZERO_FILE; past the end of the disk there is nothing. */
export function fileOf(layers: ImageLayers, segment: number): number {
  return layers.fileOfSegment === null ? OWN_FILE : (layers.fileOfSegment[segment] ?? ZERO_FILE);
}

/** The stretches that make up `lengthBytes` of a disk from `offsetBytes` on, in order, as long as can be. */
export function* layerSpans(
  layers: ImageLayers,
  offsetBytes: number,
  lengthBytes: number,
): Generator<LayerSpan> {
  const end = offsetBytes + lengthBytes;
  for (let at = offsetBytes; at < end; ) {
    const file = fileOf(layers, Math.floor(at / SEGMENT_BYTES));
    let next = at;
    do {
      next = (Math.floor(next / SEGMENT_BYTES) + 1) * SEGMENT_BYTES;
    } while (next < end && fileOf(layers, Math.floor(next / SEGMENT_BYTES)) === file);
    next = Math.min(next, end);
    const from = layers.files[file]?.offsetBytes ?? 0;
    yield { file, positionBytes: from + at, lengthBytes: next - at };
    at = next;
  }
}

/** The column, in shared memory, of a disk whose segments all lie in its own file. */
export function ownSegments(recipe: Recipe): Uint8Array {
  const segments = segmentCount(recipe.virtualSizeBytes);
  const column = new Uint8Array(new SharedArrayBuffer(segments));
  for (let segment = 0; segment < segments; segment += 1) {
    column[segment] = hasBit(recipe.segmentBitmap, segment) ? OWN_FILE : ZERO_FILE;
  }
  return column;
}

/** Whether a column can be that of a disk: its zero segments are zero, and only those. */
export function isColumnOf(recipe: Recipe, column: Uint8Array, hasBase: boolean): boolean {
  const segments = segmentCount(recipe.virtualSizeBytes);
  for (let segment = 0; segment < segments; segment += 1) {
    const isZero = column[segment] === ZERO_FILE;
    if (isZero === hasBit(recipe.segmentBitmap, segment)) return false;
    if (column[segment] === BASE_FILE && !hasBase) return false;
  }
  return true;
}
