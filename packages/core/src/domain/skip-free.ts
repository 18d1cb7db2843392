/**
 * Room: domain. The disks that a teleport delivers: as they are, or with their free space as zero.
 *
 * I1: a disk whose origin did not look for free space is delivered as it is, and that is said.
 */

import type { DescribedDisk, SkipFreeDisk } from './description.ts';

/** How a teleport makes the disks of a VM: bit for bit, or by its packages and files (functional.ts). */
export const TELEPORT_METHODS = ['exact', 'functional'] as const;
export type TeleportMethod = (typeof TELEPORT_METHODS)[number];

/** What a request may ask for: a method, or whichever has the VM running soonest. */
export const REQUESTED_METHODS = [...TELEPORT_METHODS, 'cheapest'] as const;
export type RequestedMethod = (typeof REQUESTED_METHODS)[number];

/** What a teleport without free space skips, and what it does not. */
export interface SkippedFree {
  /** Bytes that are not zero at the source and will be in the delivered disks. */
  readonly skippedBytes: number;
  /** What was kept whole although it may hold free space, and why: a line each, for people. */
  readonly kept: readonly string[];
}

/** The disks that are delivered, in order: their digests, sizes and recipes. */
export function wantedDisks(
  disks: readonly DescribedDisk[],
  skipFree: boolean,
): readonly DescribedDisk[] {
  if (!skipFree) return disks;
  return disks.map((disk) => {
    if (disk.skipFree === undefined) return disk;
    const { kept: _, ...variant } = disk.skipFree;
    return { ...disk, ...variant };
  });
}

/** What would be skipped of these disks. */
export function skippedFree(
  disks: readonly {
    readonly nonZeroBytes: number;
    readonly skipFree?: Pick<SkipFreeDisk, 'nonZeroBytes' | 'kept'> | null | undefined;
  }[],
): SkippedFree {
  let skippedBytes = 0;
  const kept: string[] = [];
  for (const [i, { nonZeroBytes, skipFree }] of disks.entries()) {
    const disk = disks.length === 1 ? '' : `disk ${i + 1}, `;
    skippedBytes += nonZeroBytes - (skipFree?.nonZeroBytes ?? nonZeroBytes);
    const lines = skipFree?.kept ?? [
      'whole disk: its origin does not look for free space; upgrade it',
    ];
    kept.push(...lines.map((line) => `${disk}${line}`));
  }
  return { skippedBytes, kept };
}
