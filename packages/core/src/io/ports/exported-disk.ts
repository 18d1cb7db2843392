/**
 * Room: io, ports. A disk as those see it who serve it for reading: a complete image, or one that is still
 * being fetched.
 */

export interface ExportedDisk {
  /** Guest-visible size. */
  readonly sizeBytes: number;
  /**
   * Fills `lengthBytes` of `target` from `at` on with the disk's bytes from `offsetBytes` on, all inside the
   * disk, if that needs no waiting. False: nothing was promised, use `read`. Throws when a file cannot be
   * read.
   */
  readNow(target: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): boolean;
  /** The same, however long it takes. Rejects when a file cannot be read, or with the signal's reason. */
  read(
    target: Uint8Array,
    at: number,
    lengthBytes: number,
    offsetBytes: number,
    signal: AbortSignal,
  ): Promise<void>;
  /** The stretch that begins at `offsetBytes`: up to where what is known changes, or to `endBytes`. */
  extent(offsetBytes: number, endBytes: number): DiskExtent;
  /** Somebody will read this soon. */
  prefetch?(offsetBytes: number, lengthBytes: number): void;
}

/** One that somebody must close. */
export interface ClosableDisk extends ExportedDisk {
  close(): Promise<void>;
}

export interface DiskExtent {
  readonly endBytes: number;
  /** Known to be zero, without a look at any byte. */
  readonly isZero: boolean;
}
