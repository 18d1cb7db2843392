/**
 * Room: io, inspect. The free space of a powered-off guest's disk, from its file systems' own maps: free
 * blocks of ext2, ext3 and ext4, and the pages of Linux swap.
 *
 * I1: what is not understood is kept whole: other volumes, volumes that overlap or may be two things, gaps
 *     between partitions (boot loaders live there). Why stands in `kept`.
 * I2: bounded, and total: hostile bytes cost a volume its free space, never the description.
 * I3: reads through the locked export only, and nothing else of a volume than its maps and its first 256 KiB.
 */

import { describeError, isVmdnError, VmdnError } from '../../domain/errors.ts';
import { FreeRangeBuilder, type FreeRanges, NO_FREE_RANGES } from '../../domain/free-ranges.ts';
import { KEPT_REMARK_CHARACTERS_MAX, KEPT_REMARKS_MAX } from '../../domain/limits.ts';
import { EXT_SUPERBLOCK_BYTES, EXT_SUPERBLOCK_OFFSET_BYTES } from '../../formats/ext.ts';
import { addFreeOfGroup, parseExtGroups } from '../../formats/ext-groups.ts';
import { type ExtVolume, parseExtVolume } from '../../formats/ext-volume.ts';
import type { Partition } from '../../formats/partition-table.ts';
import { parseSwapHeader } from '../../formats/swap.ts';
import { otherSignatures, VOLUME_HEAD_BYTES } from '../../formats/volume-signatures.ts';
import { type DiskReader, findVolumes, readBytes, VOLUMES_MAX } from './volumes.ts';

/** The free space of a disk. */
export interface FreeSpace {
  readonly ranges: FreeRanges;
  /** What was kept whole although it may hold free space, and why: a line each, for people. */
  readonly kept: readonly string[];
}

/** Nothing is free, or was looked for. */
export const NO_FREE_SPACE: FreeSpace = { ranges: NO_FREE_RANGES, kept: [] };

/** Bitmaps read at once: what NBD keeps in flight. */
const BITMAPS_AT_ONCE = 16;

/** Finds the free space of a disk. Throws what reading it throws, and `cancelled`. */
export async function findFreeSpace(disk: DiskReader, signal?: AbortSignal): Promise<FreeSpace> {
  const volumes = [...(await findVolumes(disk))].sort((a, b) => a.offsetBytes - b.offsetBytes);
  if (volumes.length === VOLUMES_MAX) {
    return { ranges: NO_FREE_RANGES, kept: ['whole disk: it has too many partitions to look at'] };
  }
  const kept: string[] = [];
  const all = new FreeRangeBuilder();
  for (const [i, volume] of volumes.entries()) {
    const name = volume.lengthBytes === disk.sizeBytes ? 'whole disk' : `volume ${i + 1}`;
    try {
      if (overlapsAny(volume, volumes)) throw keep('it overlaps another partition');
      const { ranges, why } = await freeOfVolume(disk, volume, signal);
      all.addAll(ranges, volume.offsetBytes);
      if (why !== null) kept.push(`${name}: ${why}`);
    } catch (error) {
      if (!isVmdnError(error, 'too_large') && !isVmdnError(error, 'unsupported_format'))
        throw error;
      kept.push(`${name}: ${describeError(error)}`);
    }
  }
  const lines = kept.slice(0, KEPT_REMARKS_MAX).map((w) => w.slice(0, KEPT_REMARK_CHARACTERS_MAX));
  return { ranges: all.build(), kept: lines };
}

interface FreeOfVolume {
  /** From the start of the volume. */
  readonly ranges: FreeRanges;
  /** Why some of it was kept that may be free. */
  readonly why: string | null;
}

/** The reason for which a volume is kept whole. */
function keep(why: string): VmdnError {
  return new VmdnError('unsupported_format', why);
}

function overlapsAny(volume: Partition, volumes: readonly Partition[]): boolean {
  const end = volume.offsetBytes + volume.lengthBytes;
  return volumes.some(
    (other) =>
      other !== volume &&
      other.offsetBytes < end &&
      other.offsetBytes + other.lengthBytes > volume.offsetBytes,
  );
}

/** Throws `unsupported_format` for a volume that must be kept whole, `too_large`. */
async function freeOfVolume(
  disk: DiskReader,
  volume: Partition,
  signal: AbortSignal | undefined,
): Promise<FreeOfVolume> {
  const headBytes = Math.min(VOLUME_HEAD_BYTES, volume.lengthBytes);
  const head = await readBytes(disk, volume.offsetBytes, headBytes);
  const superblock = head.subarray(
    EXT_SUPERBLOCK_OFFSET_BYTES,
    EXT_SUPERBLOCK_OFFSET_BYTES + EXT_SUPERBLOCK_BYTES,
  );
  const ext = parseExtVolume(superblock, volume.lengthBytes);
  const swap = parseSwapHeader(head, volume.lengthBytes);
  const others = otherSignatures(head);
  const names = [...(ext === null ? [] : ['ext']), ...(swap === null ? [] : ['swap']), ...others];
  if (names.length > 1) throw keep(`it may be ${names.join(' or ')}`);
  if (ext !== null) {
    if ('why' in ext) throw keep(ext.why);
    return await freeOfExt(disk, volume.offsetBytes, ext.volume, signal);
  }
  if (swap === null) throw keep(`${names[0] ?? 'what it holds'} is not understood`);
  if ('why' in swap) throw keep(swap.why);
  if (volume.role !== 'swap' && volume.lengthBytes !== disk.sizeBytes) {
    throw keep('it looks like swap, but its partition is not typed as such');
  }
  const { pageBytes, sizeBytes } = swap.area;
  return { ranges: Float64Array.of(pageBytes, sizeBytes - pageBytes), why: null };
}

async function freeOfExt(
  disk: DiskReader,
  offsetBytes: number,
  volume: ExtVolume,
  signal: AbortSignal | undefined,
): Promise<FreeOfVolume> {
  const { blockBytes, descriptorsBlock, descriptorBytes } = volume;
  const tableAt = offsetBytes + descriptorsBlock * blockBytes;
  const table = await readBytes(disk, tableAt, volume.groups * descriptorBytes);
  const groups = parseExtGroups(volume, table);
  const ranges = new FreeRangeBuilder();
  let unsound = volume.groups - groups.length;
  for (let i = 0; i < groups.length; i += BITMAPS_AT_ONCE) {
    if (signal?.aborted) throw new VmdnError('cancelled', 'Looking for free space was cancelled.');
    const some = groups.slice(i, i + BITMAPS_AT_ONCE);
    const bitmaps = await Promise.all(
      some.map(async ({ bitmapBlock }) =>
        bitmapBlock === null
          ? new Uint8Array(0)
          : await readBytes(disk, offsetBytes + bitmapBlock * blockBytes, blockBytes),
      ),
    );
    for (const [k, group] of some.entries()) {
      if (!addFreeOfGroup(volume, group, bitmaps[k]!, ranges)) unsound += 1;
    }
  }
  const why =
    unsound === 0 ? null : `the maps of ${unsound} of its ${volume.groups} groups are unsound`;
  return { ranges: ranges.build(), why };
}
