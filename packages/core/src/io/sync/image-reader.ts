/**
 * Room: io, sync (inside a worker). Reads blocks of image files, and of the staging file itself, into
 * segments: a run of blocks that lies together at both ends is one read.
 *
 * I1: reading is total: past the end of a file, and where a file cannot be read, the bytes are zero. The
 *     segment's hash then says that they are wrong; nobody trusts what was read.
 * I2: at most OPEN_FILES_MAX files are open; each is opened once while it is in use.
 */

import { closeSync, constants, openSync, readSync } from 'node:fs';
import { BLOCK_BYTES } from '../../domain/units.ts';

/** Open image files per worker and disk; the usual limit per process is 1,024. */
const OPEN_FILES_MAX = 64;

/** Stands for the staging file among image numbers. */
export const STAGING_FILE = -2;

export class ImageReader {
  readonly #paths: readonly string[];
  readonly #stagingFd: number;
  /** In order of use, the least recent first. */
  readonly #open = new Map<number, number>();
  // The run being gathered.
  #image = 0;
  #fromByte = 0;
  #lengthBytes = 0;
  #target: Uint8Array | undefined;
  #targetAt = 0;

  constructor(paths: readonly string[], stagingFd: number) {
    this.#paths = paths;
    this.#stagingFd = stagingFd;
  }

  /** Reads a block of a file into `target` at `targetAt`: now, or with the blocks that follow it. */
  gather(image: number, block: number, target: Uint8Array, targetAt: number): void {
    const fromByte = block * BLOCK_BYTES;
    const gap = targetAt - (this.#targetAt + this.#lengthBytes);
    const continues =
      this.#target?.buffer === target.buffer &&
      this.#image === image &&
      gap >= 0 &&
      fromByte === this.#fromByte + this.#lengthBytes + gap;
    if (continues) {
      this.#lengthBytes += gap + BLOCK_BYTES;
      return;
    }
    this.flush();
    this.#image = image;
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
      const fd = this.#fdOf(this.#image);
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
    try {
      const fd = this.#fdOf(image);
      for (let at = 0; at < BLOCK_BYTES; ) {
        const position = block * BLOCK_BYTES + at;
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

  #fdOf(image: number): number {
    if (image === STAGING_FILE) return this.#stagingFd;
    let fd = this.#open.get(image);
    if (fd === undefined) {
      if (this.#open.size >= OPEN_FILES_MAX) {
        const [oldest, oldestFd] = this.#open.entries().next().value!;
        closeSync(oldestFd);
        this.#open.delete(oldest);
      }
      fd = openSync(this.#paths[image]!, constants.O_RDONLY | constants.O_NOFOLLOW);
    } else {
      this.#open.delete(image);
    }
    this.#open.set(image, fd);
    return fd;
  }
}
