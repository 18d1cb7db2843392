/**
 * Room: io, inspect. What lies on the volumes of a VM's disks, told by their first 256 KiB.
 *
 * I1: bounded: VOLUMES_MAX volumes a disk, VOLUME_HEAD_BYTES of each. Nothing but signatures is believed.
 */

import { describeError, isVmdnError } from '../../domain/errors.ts';
import {
  EXT_SUPERBLOCK_BYTES,
  EXT_SUPERBLOCK_OFFSET_BYTES,
  type ExtSuperblock,
  parseExtSuperblock,
} from '../../formats/ext.ts';
import type { Partition } from '../../formats/partition-table.ts';
import { otherSignatures, VOLUME_HEAD_BYTES } from '../../formats/volume-signatures.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { type DiskReader, findVolumes, readBytes } from './volumes.ts';

/** An ext volume of one of the disks. */
export interface ExtPlace {
  readonly socketPath: string;
  readonly volume: Partition;
  readonly superblock: ExtSuperblock;
}

export interface Survey {
  readonly ext: readonly ExtPlace[];
  /** What else was recognised: names of file systems, volume managers, encryption. */
  readonly others: ReadonlySet<string>;
}

/** Looks at every volume. A disk that can't be read is a remark. Throws only `cancelled`. */
export async function surveyDisks(
  socketPaths: readonly string[],
  remarks: string[],
  signal?: AbortSignal,
): Promise<Survey> {
  const ext: ExtPlace[] = [];
  const others = new Set<string>();
  for (const [i, socketPath] of socketPaths.entries()) {
    try {
      const disk = await connectNbd({ socketPath, signal });
      try {
        for (const volume of await findVolumes(disk)) {
          const found = await lookAt(disk, volume);
          if (found.superblock !== null) {
            ext.push({ socketPath, volume, superblock: found.superblock });
          }
          for (const name of found.others) others.add(name);
        }
      } finally {
        await disk.close();
      }
    } catch (error) {
      if (isVmdnError(error, 'cancelled')) throw error;
      remarks.push(`disk ${i + 1} was not inspected: ${describeError(error)}`);
    }
  }
  return { ext, others };
}

async function lookAt(
  disk: DiskReader,
  volume: Partition,
): Promise<{ superblock: ExtSuperblock | null; others: readonly string[] }> {
  const headBytes = Math.min(VOLUME_HEAD_BYTES, volume.lengthBytes);
  const head = await readBytes(disk, volume.offsetBytes, headBytes);
  const at = EXT_SUPERBLOCK_OFFSET_BYTES;
  const superblock = parseExtSuperblock(head.subarray(at, at + EXT_SUPERBLOCK_BYTES));
  const isSound = superblock !== null && superblock.sizeBytes <= volume.lengthBytes;
  return { superblock: isSound ? superblock : null, others: otherSignatures(head) };
}
