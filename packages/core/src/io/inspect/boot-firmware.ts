/**
 * Room: io, inspect. By which firmware the disks of a VM can be started.
 */

import type { BootFirmware } from '../../domain/description.ts';
import { SECTOR_BYTES } from '../../domain/units.ts';
import { bootFirmwares } from '../../formats/boot-firmware.ts';
import { parseMbrSector } from '../../formats/partition-table.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { type DiskReader, findVolumes, readBytes } from './volumes.ts';

/** Of the first disk that can be started at all; none when none can. Throws what reading throws. */
export async function findBootFirmware(
  socketPaths: readonly string[],
  signal?: AbortSignal,
): Promise<BootFirmware[]> {
  for (const socketPath of socketPaths) {
    const disk = await connectNbd({ socketPath, signal });
    try {
      const found = await firmwareOfDisk(disk);
      if (found.length > 0) return found;
    } finally {
      await disk.close();
    }
  }
  return [];
}

async function firmwareOfDisk(disk: DiskReader): Promise<BootFirmware[]> {
  if (disk.sizeBytes < SECTOR_BYTES) return [];
  const sector = parseMbrSector(await readBytes(disk, 0, SECTOR_BYTES));
  return bootFirmwares(sector, await findVolumes(disk));
}
