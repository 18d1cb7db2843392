/**
 * Room: io, disk-export. Tells whether a disk's file is still the one that was read.
 *
 * I1: equal fingerprints mean: same file, same size, no write and no change of its inode between them.
 *     (A write through a memory map shows when the kernel writes the page back; QEMU does not map disks.)
 * I2: a fingerprint is plain JSON: nanoseconds and inode numbers are decimal strings.
 */

import { stat } from 'node:fs/promises';
import { fileError } from '../files/files.ts';

export interface SourceFingerprint {
  readonly device: string;
  readonly inode: string;
  readonly sizeBytes: string;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

/** The fingerprint of the file at `path`. Throws `not_found`, `forbidden`. */
export async function sourceFingerprint(path: string): Promise<SourceFingerprint> {
  try {
    const found = await stat(path, { bigint: true });
    return {
      device: found.dev.toString(),
      inode: found.ino.toString(),
      sizeBytes: found.size.toString(),
      mtimeNs: found.mtimeNs.toString(),
      ctimeNs: found.ctimeNs.toString(),
    };
  } catch (error) {
    throw fileError(error, path);
  }
}

/** True when nothing happened to the file between the two. */
export function sameFingerprint(one: SourceFingerprint, other: SourceFingerprint): boolean {
  return (
    one.device === other.device &&
    one.inode === other.inode &&
    one.sizeBytes === other.sizeBytes &&
    one.mtimeNs === other.mtimeNs &&
    one.ctimeNs === other.ctimeNs
  );
}
