/**
 * Room: formats. The superblock of ext2, ext3 and ext4, as far as it tells that one is there
 * (Linux: Documentation/filesystems/ext4/super.rst).
 *
 * I1: total: any bytes give a superblock or null.
 */

import { untilNul } from './archive.ts';

/** Where the superblock lies in its volume, and how long it is. */
export const EXT_SUPERBLOCK_OFFSET_BYTES = 1024;
export const EXT_SUPERBLOCK_BYTES = 1024;
const MAGIC = 0xef53;

export interface ExtSuperblock {
  readonly blockBytes: number;
  /** Size of the file system; never more than its volume when it is sound. */
  readonly sizeBytes: number;
  /** As fstab names it: lower-case hexadecimal with hyphens. */
  readonly uuid: string;
  /** Empty when it has none. */
  readonly label: string;
}

/** Reads a superblock from the 1,024 bytes at offset 1,024 of a volume; null when there is none. */
export function parseExtSuperblock(bytes: Uint8Array): ExtSuperblock | null {
  if (bytes.length < EXT_SUPERBLOCK_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint16(56, true) !== MAGIC) return null;
  const logBlockBytes = view.getUint32(24, true);
  if (logBlockBytes > 6) return null;
  const blockBytes = 1024 << logBlockBytes;
  const is64Bit = (view.getUint32(96, true) & 0x80) !== 0;
  const blocksHigh = is64Bit ? view.getUint32(0x150, true) : 0;
  const blocks = view.getUint32(4, true) + blocksHigh * 2 ** 32;
  const sizeBytes = blocks * blockBytes;
  if (!Number.isSafeInteger(sizeBytes) || blocks === 0) return null;
  const label = untilNul(bytes.subarray(120, 136));
  return { blockBytes, sizeBytes, uuid: uuidText(bytes.subarray(104, 120)), label };
}

/** RFC 9562, section 4: 8-4-4-4-12 digits. */
function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
