/**
 * Room: formats. By which firmware a disk can be started, from its partition table alone.
 *
 * I1: total. It says what the disk is laid out for, not that a boot loader in it is sound.
 */

import { BOOT_FIRMWARES, type BootFirmware } from '../domain/description.ts';
import type { MbrSector, Partition } from './partition-table.ts';

/**
 * UEFI starts from an EFI system partition (UEFI 2.10, 13.3); BIOS from code in the first sector, which on a
 * GPT goes on in a partition of its own (GRUB manual, 3.4) or in a file system.
 */
export function bootFirmwares(
  sector: MbrSector | null,
  partitions: readonly Partition[],
): BootFirmware[] {
  const roles = new Set(partitions.map(({ role }) => role));
  const can: Record<BootFirmware, boolean> = {
    bios: sector?.hasBootCode === true || roles.has('bios-boot'),
    uefi: roles.has('efi'),
  };
  return BOOT_FIRMWARES.filter((firmware) => can[firmware]);
}
