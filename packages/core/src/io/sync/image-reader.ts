/**
 * Room: io, sync (inside a worker). Reads blocks of images, and of the disk in the making itself, into
 * segments: a run of blocks that lies together at both ends is one read. domain/layers.ts says in which
 * file of an image a block lies.
 *
 * I1: reading is total: past the end of a file, and where a file cannot be read, the bytes are zero. The
 *     segment's hash then says that they are wrong; nobody trusts what was read.
 * I2: at most OPEN_FILES_MAX files are open; each is opened once while it is in use.
 */

import { closeSync, constants, openSync, readSync } from 'node:fs';
import { fileOf, type ImageLayers, OWN_FILE, ZERO_FILE } from '../../domain/layers.ts';
import { BLOCK_BYTES, BLOCKS_PER_SEGMENT } from '../../domain/units.ts';

/** Open image files per worker and disk; the usual limit per process is 1,024. */
const OPEN_FILES_MAX = 64;

/** Stands for the disk in the making among image numbers. */
export const STAGING_FILE = -2;

/** Room for the files of one image among file numbers. */
const FILES_PER_IMAGE = 2;

export class ImageReader {
  readonly #images: readonly ImageLayers[];
  readonly #staging: ImageLayers;
  readonly #stagingFd: number;
  /** In order of use, the least recent first. */
  readonly #open = new Map<number, number>();
  // The run being gathered.
  #file = 0;
  #fromByte = 0;
  #lengthBytes = 0;
  #target: Uint8Array | undefined;
  #targetAt = 0;

  /** `stagingFd`: the first file of `staging`, open. */
  constructor(images: readonly ImageLayers[], staging: ImageLayers, stagingFd: number) {
    this.#images = images;
    this.#staging = staging;
    this.#stagingFd = stagingFd;
  }

  /** Reads a block of an image into `target` at `targetAt`: now, or with the blocks that follow it. */
  gather(image: number, block: number, target: Uint8Array, targetAt: number): void {
    const file = this.#fileOf(image, block);
    if (file === ZERO_FILE) {
      this.flush();
      target.fill(0, targetAt, targetAt + BLOCK_BYTES);
      return;
    }
    const fromByte = this.#layersOf(image).files[file]!.offsetBytes + block * BLOCK_BYTES;
    const number = image * FILES_PER_IMAGE + file;
    const gap = targetAt - (this.#targetAt + this.#lengthBytes);
    const continues =
      this.#target?.buffer === target.buffer &&
      this.#file === number &&
      gap >= 0 &&
      fromByte === this.#fromByte + this.#lengthBytes + gap;
    if (continues) {
      this.#lengthBytes += gap + BLOCK_BYTES;
      return;
    }
    this.flush();
    this.#file = number;
    this.#fromByte = fromByte;
    this.#lengthBytes = BLOCK_BYTES;
    this.#target = target;
    this.#targetAt = targetAt;
  }

  /** Reads what was gathered. To be called before the bytes behind a gap are put in their place. */
  flush(): void {
    const target = this.#target;
    if (target === undefined) return;
    this.#target = undefined;
    const end = this.#targetAt + this.#lengthBytes;
    let at = this.#targetAt;
    try {
      const fd = this.#fdOf(this.#file);
      while (at < end) {
        const position = this.#fromByte + at - this.#targetAt;
        const count = readSync(fd, target, at, end - at, position);
        if (count === 0) break;
        at += count;
      }
    } catch {
      // An image that cannot be read is a source of wrong bytes: see I1 and `canRead`.
    }
    target.fill(0, at, end);
  }

  /** Reads one block by itself; false when the file cannot be read there. */
  readBlock(image: number, block: number, target: Uint8Array, targetAt: number): boolean {
    target.fill(0, targetAt, targetAt + BLOCK_BYTES);
    const file = this.#fileOf(image, block);
    if (file === ZERO_FILE) return true;
    const fromByte = this.#layersOf(image).files[file]!.offsetBytes + block * BLOCK_BYTES;
    try {
      const fd = this.#fdOf(image * FILES_PER_IMAGE + file);
      for (let at = 0; at < BLOCK_BYTES; ) {
        const position = fromByte + at;
        const count = readSync(fd, target, targetAt + at, BLOCK_BYTES - at, position);
        if (count === 0) return at > 0;
        at += count;
      }
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #layersOf(image: number): ImageLayers {
    return image === STAGING_FILE ? this.#staging : this.#images[image]!;
  }

  #fileOf(image: number, block: number): number {
    return fileOf(this.#layersOf(image), Math.floor(block / BLOCKS_PER_SEGMENT));
  }

  #fdOf(number: number): number {
    const image = Math.floor(number / FILES_PER_IMAGE);
    const file = number - image * FILES_PER_IMAGE;
    if (image === STAGING_FILE && file === OWN_FILE) return this.#stagingFd;
    let fd = this.#open.get(number);
    if (fd === undefined) {
      if (this.#open.size >= OPEN_FILES_MAX) {
        const [oldest, oldestFd] = this.#open.entries().next().value!;
        closeSync(oldestFd);
        this.#open.delete(oldest);
      }
      const { path } = this.#layersOf(image).files[file]!;
      fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    } else {
      this.#open.delete(number);
    }
    this.#open.set(number, fd);
    return fd;
  }
}
