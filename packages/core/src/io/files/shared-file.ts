/**
 * Room: io, files. The file of a disk in a directory of ours: `disk.raw`, or `disk.qcow2` when it shares
 * storage with a base image (formats/shared-qcow2.ts has its bytes).
 *
 * I1: a directory has one of the two; which one is seen by the name that we gave, never by the content.
 * I2: the tables are durable when `writeSharedTables` returns; what they say of the data must have been
 *     durable before.
 */

import { constants, type FileHandle, lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { SEGMENT_BYTES, segmentCount } from '../../domain/units.ts';
import {
  checkSharedL1,
  decodeSharedHeader,
  decodeSharedL2,
  encodeSharedTables,
  type SharedDisk,
  sharedLayout,
} from '../../formats/shared-qcow2.ts';
import { fileError } from './files.ts';

export const DISK_FILE = { raw: 'disk.raw', qcow2: 'disk.qcow2' } as const;
export type DiskFileFormat = keyof typeof DISK_FILE;

/** Which disk file a directory has; null for none. Throws `corrupt` when it has both. */
export async function findDiskFile(dir: string): Promise<DiskFileFormat | null> {
  const [raw, qcow2] = await Promise.all([
    isThere(join(dir, DISK_FILE.raw)),
    isThere(join(dir, DISK_FILE.qcow2)),
  ]);
  if (raw && qcow2) throw new VmdnError('corrupt', `${dir} has two disks; remove it.`);
  if (raw) return 'raw';
  return qcow2 ? 'qcow2' : null;
}

/** Length of the file of a disk of `virtualSizeBytes`. */
export function diskFileBytes(format: DiskFileFormat, virtualSizeBytes: number): number {
  return format === 'raw' ? virtualSizeBytes : sharedLayout(virtualSizeBytes).fileBytes;
}

/** Where the disk's first byte lies, or would lie, in its own file. */
export function diskOffsetBytes(format: DiskFileFormat, virtualSizeBytes: number): number {
  return format === 'raw' ? 0 : sharedLayout(virtualSizeBytes).dataAt;
}

/** What a shared disk's tables say. The column lies in shared memory. Throws `corrupt`, `not_found`. */
export async function readSharedTables(
  path: string,
  virtualSizeBytes: number,
): Promise<{ readonly base: Digest | null; readonly fileOfSegment: Uint8Array }> {
  const layout = sharedLayout(virtualSizeBytes);
  const fileOfSegment = new Uint8Array(new SharedArrayBuffer(segmentCount(virtualSizeBytes)));
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const read = async (at: number, length: number): Promise<Uint8Array> => {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at);
      return buffer.subarray(0, bytesRead);
    };
    const base = decodeSharedHeader(await read(0, SEGMENT_BYTES), virtualSizeBytes);
    checkSharedL1(await read(layout.l1At, layout.l2At - layout.l1At), layout);
    for (let i = 0; i < layout.l2Clusters; i += 1) {
      const cluster = await read(layout.l2At + i * SEGMENT_BYTES, SEGMENT_BYTES);
      decodeSharedL2(cluster, i, layout, fileOfSegment);
    }
    return { base, fileOfSegment };
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Writes a shared disk's tables, durably. */
export async function writeSharedTables(file: FileHandle, disk: SharedDisk): Promise<void> {
  for (const { offset, bytes } of encodeSharedTables(disk)) {
    for (let at = 0; at < bytes.length; ) {
      at += (await file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
    }
  }
  await file.datasync();
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fileError(error, path);
  }
}
