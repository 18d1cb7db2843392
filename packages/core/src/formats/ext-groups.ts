/**
 * Room: formats. The block groups of an ext volume and which of their blocks are free
 * (Linux: Documentation/filesystems/ext4/{group_descr,bitmaps}.rst; fs/ext4/balloc.c).
 *
 * I1: total: any bytes give ranges. A group whose descriptor or bitmap is not sound frees nothing.
 * I2: sound is a bitmap with the right checksum, where there are checksums, that has as many free blocks as
 *     its descriptor says and calls no bitmap, inode table or copy of the superblock free.
 * I3: a bitmap that was never written (BLOCK_UNINIT) frees what it would if Linux wrote it: all but the
 *     metadata of any group that lies in it; only where the descriptor's checksum vouches for the flag, and
 *     the number of free blocks agrees.
 */

import type { FreeRangeBuilder } from '../domain/free-ranges.ts';
import { crc16, crc32c } from './crc.ts';
import type { ExtVolume } from './ext-volume.ts';

const BLOCK_UNINIT = 2;
const CHECKSUM_AT = 0x1e;
/** A descriptor so long has the high half of its bitmap's checksum. */
const BITMAP_CHECKSUM_END = 0x3a;

export interface ExtGroup {
  readonly index: number;
  readonly firstBlock: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  /** Null: the bitmap was never written. */
  readonly bitmapBlock: number | null;
  readonly bitmapChecksum: number;
  /** Metadata that lies in this group, of whatever group: pairs of first block and number of blocks. */
  readonly metadata: readonly number[];
}

/**
 * The groups from the bytes of the descriptor table, whose length is `groups` · `descriptorBytes`. One whose
 * descriptor is not sound is left out.
 */
export function parseExtGroups(volume: ExtVolume, table: Uint8Array): ExtGroup[] {
  const { groups, descriptorBytes, firstDataBlock, blocksPerGroup, blocks } = volume;
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const metadata = Array.from({ length: groups }, (): number[] => []);
  const claimed = new Float64Array(groups);
  const claim = (first: number, count: number): boolean => {
    if (first < firstDataBlock || first + count > blocks) return false;
    for (let at = first; at < first + count; ) {
      const group = Math.floor((at - firstDataBlock) / blocksPerGroup);
      const end = Math.min(first + count, firstDataBlock + (group + 1) * blocksPerGroup);
      claimed[group]! += end - at;
      // More metadata than there is room for: the group is left out, and its list grows no further.
      if (claimed[group]! <= blocksPerGroup) metadata[group]!.push(at, end - at);
      at = end;
    }
    return true;
  };
  const found: ExtGroup[] = [];
  for (let index = 0; index < groups; index += 1) {
    const at = index * descriptorBytes;
    const word = (low: number, high: number): number =>
      view.getUint32(at + low, true) +
      (descriptorBytes > 32 ? view.getUint32(at + high, true) * 2 ** 32 : 0);
    const half = (low: number, high: number, isLong = descriptorBytes > 32): number =>
      view.getUint16(at + low, true) + (isLong ? view.getUint16(at + high, true) * 2 ** 16 : 0);
    const firstBlock = firstDataBlock + index * blocksPerGroup;
    if (volume.hasHead(index)) claim(firstBlock, Math.min(volume.headBlocks, blocks - firstBlock));
    const bitmapBlock = word(0, 0x20);
    const isInside =
      claim(bitmapBlock, 1) &&
      claim(word(4, 0x24), 1) &&
      claim(word(8, 0x28), volume.inodeTableBlocks);
    if (!isInside || !isDescriptorSound(volume, index, table.subarray(at, at + descriptorBytes))) {
      continue;
    }
    const isUninit = (view.getUint16(at + 0x12, true) & BLOCK_UNINIT) !== 0;
    if (isUninit && volume.checksums.kind === 'none') continue;
    found.push({
      ...{ index, firstBlock, metadata: metadata[index]! },
      blocks: Math.min(blocksPerGroup, blocks - firstBlock),
      freeBlocks: half(0xc, 0x2c),
      bitmapBlock: isUninit ? null : bitmapBlock,
      bitmapChecksum: half(0x18, 0x38, descriptorBytes >= BITMAP_CHECKSUM_END),
    });
  }
  return found.filter(({ index }) => claimed[index]! <= blocksPerGroup);
}

function isDescriptorSound(
  { checksums }: ExtVolume,
  index: number,
  descriptor: Uint8Array,
): boolean {
  if (checksums.kind === 'none') return true;
  const stored = descriptor[CHECKSUM_AT]! | (descriptor[CHECKSUM_AT + 1]! << 8);
  const number = new Uint8Array(Uint32Array.of(index).buffer);
  const before = descriptor.subarray(0, CHECKSUM_AT);
  const after = descriptor.subarray(CHECKSUM_AT + 2);
  if (checksums.kind === 'crc16') {
    return crc16(crc16(crc16(checksums.seed, number), before), after) === stored;
  }
  const head = crc32c(crc32c(checksums.seed, number), before);
  return (crc32c(crc32c(head, new Uint8Array(2)), after) & 0xffff) === stored;
}

/**
 * Adds the free ranges of a group to `ranges`, in bytes from the start of the volume. `block` is the block
 * with its bitmap, not looked at when the bitmap was never written. Returns whether the group was sound.
 * Throws as `ranges.add`.
 */
export function addFreeOfGroup(
  volume: ExtVolume,
  group: ExtGroup,
  block: Uint8Array,
  ranges: FreeRangeBuilder,
): boolean {
  const bitmap =
    group.bitmapBlock === null
      ? unwrittenBitmap(volume, group)
      : writtenBitmap(volume, group, block);
  if (bitmap === null) return false;
  const runs = freeRuns(bitmap, group.blocks);
  let free = 0;
  for (let i = 0; i < runs.length; i += 2) free += runs[i + 1]!;
  if (free !== group.freeBlocks) return false;
  const { blockBytes } = volume;
  for (let i = 0; i < runs.length; i += 2) {
    ranges.add((group.firstBlock + runs[i]!) * blockBytes, runs[i + 1]! * blockBytes);
  }
  return true;
}

/** The bitmap as Linux would write it (I3). */
function unwrittenBitmap({ blocksPerGroup }: ExtVolume, group: ExtGroup): Uint8Array {
  const bitmap = new Uint8Array(blocksPerGroup / 8);
  for (let i = 0; i < group.metadata.length; i += 2) {
    const first = group.metadata[i]! - group.firstBlock;
    for (let bit = first; bit < first + group.metadata[i + 1]!; bit += 1) {
      bitmap[bit >>> 3]! |= 1 << (bit & 7);
    }
  }
  return bitmap;
}

/** Null when it is not sound (I2). */
function writtenBitmap(volume: ExtVolume, group: ExtGroup, block: Uint8Array): Uint8Array | null {
  const bitmap = block.subarray(0, volume.blocksPerGroup / 8);
  if (volume.checksums.kind === 'crc32c') {
    const mask = volume.descriptorBytes >= BITMAP_CHECKSUM_END ? 0xffffffff : 0xffff;
    const found = (crc32c(volume.checksums.seed, bitmap) & mask) >>> 0;
    if (found !== group.bitmapChecksum) return null;
  }
  for (let i = 0; i < group.metadata.length; i += 2) {
    const first = group.metadata[i]! - group.firstBlock;
    for (let bit = first; bit < first + group.metadata[i + 1]!; bit += 1) {
      if ((bitmap[bit >>> 3]! & (1 << (bit & 7))) === 0) return null;
    }
  }
  return bitmap;
}

/** Runs of bits that are 0 among the first `bits`: pairs of first bit and number of bits. */
function freeRuns(bitmap: Uint8Array, bits: number): number[] {
  const runs: number[] = [];
  let start = -1;
  for (let bit = 0; bit < bits; ) {
    const byte = bitmap[bit >>> 3]!;
    const isWhole = (bit & 7) === 0 && bit + 8 <= bits && (byte === 0 || byte === 0xff);
    const isFree = (byte & (1 << (bit & 7))) === 0;
    if (isFree && start < 0) start = bit;
    if (!isFree && start >= 0) {
      runs.push(start, bit - start);
      start = -1;
    }
    bit += isWhole ? 8 : 1;
  }
  if (start >= 0) runs.push(start, bits - start);
  return runs;
}
