/**
 * Room: formats. An ext2, ext3 or ext4 volume as far as its block bitmaps can be found and trusted
 * (Linux: Documentation/filesystems/ext4/{super,group_descr,bitmaps}.rst).
 *
 * I1: total: any bytes give a volume or words that say why its free blocks can't be told.
 * I2: conservative: a feature, a state or a number that is not known to leave the meaning of the bitmaps as
 *     it is means that nothing is free: a journal or orphans to be replayed, errors, bigalloc, meta_bg, ….
 * I3: bounded: at most EXT_GROUPS_MAX groups, all within the file system, and that within its volume.
 */

import { EXT_GROUPS_MAX } from '../domain/limits.ts';
import { CRC_START, crc16, crc32c } from './crc.ts';
import { EXT_SUPERBLOCK_BYTES, parseExtSuperblock } from './ext.ts';

/** How group descriptors and bitmaps are protected. */
export type ExtChecksums =
  | { readonly kind: 'crc32c'; readonly seed: number }
  | { readonly kind: 'crc16'; readonly seed: number }
  | { readonly kind: 'none' };

/** Numbers are blocks unless named otherwise. */
export interface ExtVolume {
  readonly blockBytes: number;
  readonly blocks: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly groups: number;
  readonly descriptorBytes: number;
  /** The first block of the table of group descriptors. */
  readonly descriptorsBlock: number;
  readonly inodeTableBlocks: number;
  /** Superblock and descriptors, the room that they may grow into included, in groups with a copy. */
  readonly headBlocks: number;
  readonly checksums: ExtChecksums;
  /** Whether a group begins with a copy of superblock and descriptors. */
  readonly hasHead: (group: number) => boolean;
}

/** A volume, or why nothing of it is free, in words. */
export type ExtAnswer = { readonly volume: ExtVolume } | { readonly why: string };

const STATE_CLEAN = 1;
const SPARSE_SUPER2 = 0x200;
const SPARSE_SUPER = 1;
const GDT_CSUM = 0x10;
const BIGALLOC = 0x200;
const METADATA_CSUM = 0x400;
const RECOVER = 4;
const META_BG = 0x10;
const IS_64BIT = 0x80;
const CSUM_SEED = 0x2000;
const ORPHANS_PRESENT = 0x10000;

/** filetype, extents, 64bit, flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt, casefold. */
const INCOMPAT_KNOWN =
  0x2 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000;
/**
 * sparse_super, large_file, btree_dir, huge_file, gdt_csum, dir_nlink, extra_isize, quota, metadata_csum,
 * read-only, project, verity.
 */
const RO_COMPAT_KNOWN =
  1 | 2 | 4 | 8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x400 | 0x1000 | 0x2000 | 0x8000;

/** Reads the 1,024 bytes at offset 1,024 of a volume of this length; null when it is no ext volume. */
export function parseExtVolume(bytes: Uint8Array, volumeBytes: number): ExtAnswer | null {
  const basics = parseExtSuperblock(bytes);
  if (basics === null) return null;
  const sb = new DataView(bytes.buffer, bytes.byteOffset, EXT_SUPERBLOCK_BYTES);
  const why = obstacleOf(sb, bytes);
  if (why !== null) return { why };
  const { blockBytes, sizeBytes } = basics;
  if (sizeBytes > volumeBytes) return { why: 'it is larger than its partition' };
  const is64Bit = (sb.getUint32(0x60, true) & IS_64BIT) !== 0;
  const blocks = sizeBytes / blockBytes;
  const firstDataBlock = sb.getUint32(0x14, true);
  const blocksPerGroup = sb.getUint32(0x20, true);
  const inodesPerGroup = sb.getUint32(0x28, true);
  const inodeBytes = sb.getUint16(0x58, true);
  const descriptorBytes = is64Bit ? sb.getUint16(0xfe, true) : 32;
  const groups = Math.ceil((blocks - firstDataBlock) / blocksPerGroup);
  const inodeTableBlocks = Math.ceil((inodesPerGroup * inodeBytes) / blockBytes);
  const isSane =
    firstDataBlock === (blockBytes === 1024 ? 1 : 0) &&
    sb.getUint32(0x1c, true) === sb.getUint32(0x18, true) &&
    sb.getUint32(0x24, true) === blocksPerGroup &&
    blocksPerGroup >= 256 &&
    blocksPerGroup % 8 === 0 &&
    blocksPerGroup <= 8 * blockBytes &&
    groups >= 1 &&
    groups <= EXT_GROUPS_MAX &&
    descriptorBytes === (is64Bit ? 64 : 32) &&
    inodeBytes >= 128 &&
    inodeBytes <= blockBytes &&
    inodeTableBlocks >= 1 &&
    inodeTableBlocks < blocksPerGroup;
  if (!isSane) return { why: 'its superblock makes no sense' };
  const tableBlocks = Math.ceil((groups * descriptorBytes) / blockBytes);
  const headBlocks = 1 + tableBlocks + sb.getUint16(0xce, true);
  if (firstDataBlock + 1 + tableBlocks > blocks || headBlocks >= blocksPerGroup) {
    return { why: 'its superblock makes no sense' };
  }
  return {
    volume: {
      ...{ blockBytes, blocks, firstDataBlock, blocksPerGroup, groups, descriptorBytes },
      ...{ inodeTableBlocks, headBlocks },
      descriptorsBlock: firstDataBlock + 1,
      checksums: checksumsOf(sb, bytes),
      hasHead: headRule(sb),
    },
  };
}

/** Why nothing may be called free; null when there is no reason. */
function obstacleOf(sb: DataView, bytes: Uint8Array): string | null {
  const incompat = sb.getUint32(0x60, true);
  const roCompat = sb.getUint32(0x64, true);
  if (sb.getUint32(0x4c, true) !== 1) return 'it has an unknown revision';
  if ((incompat & RECOVER) !== 0)
    return 'its journal must be replayed; shut the guest down cleanly';
  if (sb.getUint16(0x3a, true) !== STATE_CLEAN)
    return 'it was not unmounted cleanly, or has errors';
  if ((roCompat & ORPHANS_PRESENT) !== 0) return 'it has deleted files that are not yet freed';
  if ((roCompat & BIGALLOC) !== 0) return 'bigalloc is not understood';
  if ((incompat & META_BG) !== 0) return 'meta_bg is not understood';
  if ((incompat & ~INCOMPAT_KNOWN) !== 0 || (roCompat & ~RO_COMPAT_KNOWN) !== 0) {
    return 'it has features that are not understood';
  }
  if ((roCompat & METADATA_CSUM) === 0) return null;
  const isCrc32c = bytes[0x175] === 1;
  const found = crc32c(CRC_START, bytes.subarray(0, 0x3fc));
  if (isCrc32c && found === sb.getUint32(0x3fc, true)) return null;
  return 'the checksum of its superblock is wrong';
}

function checksumsOf(sb: DataView, bytes: Uint8Array): ExtChecksums {
  const uuid = bytes.subarray(0x68, 0x78);
  const roCompat = sb.getUint32(0x64, true);
  if ((roCompat & METADATA_CSUM) !== 0) {
    const isStored = (sb.getUint32(0x60, true) & CSUM_SEED) !== 0;
    return {
      kind: 'crc32c',
      seed: isStored ? sb.getUint32(0x270, true) : crc32c(CRC_START, uuid),
    };
  }
  if ((roCompat & GDT_CSUM) !== 0) return { kind: 'crc16', seed: crc16(CRC_START, uuid) };
  return { kind: 'none' };
}

function headRule(sb: DataView): ExtVolume['hasHead'] {
  if ((sb.getUint32(0x5c, true) & SPARSE_SUPER2) !== 0) {
    const copies = [0, sb.getUint32(0x24c, true), sb.getUint32(0x250, true)];
    return (group) => copies.includes(group);
  }
  if ((sb.getUint32(0x64, true) & SPARSE_SUPER) === 0) return () => true;
  return (group) => group <= 1 || [3, 5, 7].some((base) => isPowerOf(base, group));
}

function isPowerOf(base: number, value: number): boolean {
  let rest = value;
  while (rest % base === 0) rest /= base;
  return rest === 1;
}
