/**
 * Room: domain. The file formats of disks that we read, as a type that cannot be wrong.
 *
 * I1: a format is declared (by a VM specification, an import, a store entry), recorded once and never
 *     probed; formats/image-header.ts checks that the file agrees with it.
 */

import { VmdnError } from './errors.ts';

export const DISK_FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vhdx'] as const;

export type DiskFormat = (typeof DISK_FORMATS)[number];

/** One file of a disk: the disk itself or a layer of its backing chain. */
export interface DiskLayer {
  /** Absolute path. */
  readonly path: string;
  readonly format: DiskFormat;
}

/** True for the name of a format that we read. */
export function isDiskFormat(raw: unknown): raw is DiskFormat {
  return DISK_FORMATS.some((format) => format === raw);
}

/** Parses a format's name from outside. Throws `unsupported_format`. */
export function parseDiskFormat(raw: unknown): DiskFormat {
  if (isDiskFormat(raw)) return raw;
  const known = DISK_FORMATS.join(', ');
  throw new VmdnError(
    'unsupported_format',
    `A disk's format is one of ${known}; convert it first.`,
    {
      data: { format: String(raw).slice(0, 80) },
    },
  );
}
