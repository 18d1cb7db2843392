/**
 * Room: io, inspect. Where the volumes of a disk lie: its partitions, or the whole disk.
 *
 * I1: bounded: at most VOLUMES_MAX volumes and LOGICAL_MAX links of a chain of logical partitions,
 *     which must go forward; the disk is read in a few small pieces.
 */

import { SECTOR_BYTES } from '../../domain/units.ts';
import {
  LOGICAL_MAX,
  type MbrSector,
  type Partition,
  parseGptEntries,
  parseGptHeader,
  parseMbrSector,
  partitionAt,
} from '../../formats/partition-table.ts';

/** Volumes looked at on one disk. */
export const VOLUMES_MAX = 32;

/** Reads guest-visible bytes. */
export interface DiskReader {
  readonly sizeBytes: number;
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
}

/** The volumes of a disk in the order of its partition table; the whole disk when it has none. */
export async function findVolumes(disk: DiskReader): Promise<readonly Partition[]> {
  const whole: Partition = { offsetBytes: 0, lengthBytes: disk.sizeBytes };
  if (disk.sizeBytes < 2 * SECTOR_BYTES) return [whole];
  const gpt =
    (await readGpt(disk, SECTOR_BYTES)) ?? (await readGpt(disk, disk.sizeBytes - SECTOR_BYTES));
  if (gpt !== null) return gpt.slice(0, VOLUMES_MAX);
  const mbr = parseMbrSector(await readBytes(disk, 0, SECTOR_BYTES));
  if (mbr === null || mbr.isProtective) return [whole];
  const partitions = await readMbrPartitions(disk, mbr);
  return partitions.length === 0 ? [whole] : partitions.slice(0, VOLUMES_MAX);
}

async function readGpt(disk: DiskReader, headerOffsetBytes: number): Promise<Partition[] | null> {
  const header = parseGptHeader(await readBytes(disk, headerOffsetBytes, SECTOR_BYTES));
  if (header === null) return null;
  if (header.entriesOffsetBytes + header.entriesBytes > disk.sizeBytes) return null;
  const entries = await readBytes(disk, header.entriesOffsetBytes, header.entriesBytes);
  return parseGptEntries(entries, header, disk.sizeBytes);
}

async function readMbrPartitions(disk: DiskReader, mbr: MbrSector): Promise<Partition[]> {
  const found = mbr.partitions.flatMap((range) => partitionAt(range, disk.sizeBytes) ?? []);
  if (mbr.extendedStart === null) return found;
  // Links of the chain are relative to the outermost extended partition, partitions to their own link.
  let link = mbr.extendedStart;
  for (let i = 0; i < LOGICAL_MAX; i += 1) {
    const linkOffset = link * SECTOR_BYTES;
    if (linkOffset + SECTOR_BYTES > disk.sizeBytes) break;
    const sector = parseMbrSector(await readBytes(disk, linkOffset, SECTOR_BYTES));
    if (sector === null) break;
    for (const range of sector.partitions.slice(0, 1)) {
      const partition = partitionAt({ ...range, start: link + range.start }, disk.sizeBytes);
      if (partition !== null) found.push(partition);
    }
    if (sector.extendedStart === null) break;
    const next = mbr.extendedStart + sector.extendedStart;
    if (next <= link) break;
    link = next;
  }
  return found;
}

/** Reads `lengthBytes` into new memory. */
export async function readBytes(
  disk: DiskReader,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  if (lengthBytes > 0) await disk.read(bytes, offsetBytes);
  return bytes;
}
