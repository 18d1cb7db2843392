/**
 * Room: io, files. A complete image as a disk that can be served (ports/exported-disk.ts).
 *
 * A read of 4 KiB that the page cache has takes 2 µs here and 20 µs by the thread pool; one that it has not
 * stops everything in this thread until the drive answers. So what is small is read here, and a read that
 * took long says that the cache is cold: the next ones go to the pool.
 *
 * I1: of COLD_READS + 1 reads at most one waits for the drive in this thread.
 * I2: a file that ends before the disk does is an error, never zeros.
 */

import { VmdnError } from '../../domain/errors.ts';
import { fileOf, type ImageLayers, ZERO_FILE } from '../../domain/layers.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import type { ClosableDisk, DiskExtent } from '../ports/exported-disk.ts';
import { type LayeredFile, openLayeredFile } from './layered-file.ts';

/** Reads up to so long are tried in this thread. */
const NOW_BYTES_MAX = SEGMENT_BYTES;
/** What memory has takes 15 µs for a segment; a drive takes 60 µs and more. */
const COLD_MS = 0.2;
/** Reads by the thread pool after one that was cold. */
const COLD_READS = 64;

/** Whether the page cache is worth a try: the decision by itself, without a clock. */
export class CacheGuess {
  #coldReads = 0;

  /** I1: asked once for each read. */
  isWarm(): boolean {
    if (this.#coldReads === 0) return true;
    this.#coldReads -= 1;
    return false;
  }

  /** How long a read in this thread took. */
  took(ms: number): void {
    if (ms > COLD_MS) this.#coldReads = COLD_READS;
  }
}

/** Opens an image. Throws `not_found`, `forbidden`, `busy`. */
export async function openImageDisk(layers: ImageLayers, sizeBytes: number): Promise<ClosableDisk> {
  return new LayeredDisk(await openLayeredFile(layers), layers, sizeBytes);
}

class LayeredDisk implements ClosableDisk {
  readonly sizeBytes: number;
  readonly #file: LayeredFile;
  readonly #layers: ImageLayers;
  readonly #cache = new CacheGuess();

  constructor(file: LayeredFile, layers: ImageLayers, sizeBytes: number) {
    this.#file = file;
    this.#layers = layers;
    this.sizeBytes = sizeBytes;
  }

  readNow(target: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): boolean {
    if (lengthBytes > NOW_BYTES_MAX || !this.#cache.isWarm()) return false;
    const startMs = performance.now();
    if (!this.#file.readNow(target, at, lengthBytes, offsetBytes)) throw truncated(offsetBytes);
    this.#cache.took(performance.now() - startMs);
    return true;
  }

  async read(
    target: Uint8Array,
    at: number,
    lengthBytes: number,
    offsetBytes: number,
  ): Promise<void> {
    const part = target.subarray(at, at + lengthBytes);
    if (!(await this.#file.readInto(part, offsetBytes))) throw truncated(offsetBytes);
  }

  extent(offsetBytes: number, endBytes: number): DiskExtent {
    const layers = this.#layers;
    if (layers.fileOfSegment === null) return { endBytes, isZero: false };
    let segment = Math.floor(offsetBytes / SEGMENT_BYTES);
    const isZero = fileOf(layers, segment) === ZERO_FILE;
    const last = Math.floor((endBytes - 1) / SEGMENT_BYTES);
    do segment += 1;
    while (segment <= last && (fileOf(layers, segment) === ZERO_FILE) === isZero);
    return { endBytes: Math.min(segment * SEGMENT_BYTES, endBytes), isZero };
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function truncated(offsetBytes: number): VmdnError {
  return new VmdnError('corrupt', 'An image file is shorter than its disk.', {
    data: { offsetBytes },
  });
}
