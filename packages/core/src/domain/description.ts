/**
 * Room: domain. The description: what an origin says of one version of a VM
 * (`generateDescription()` in the 2015 report). It is signed by the origin as a whole.
 *
 * I1: a description names its disks by digest only; where the bytes lie is nobody else's business.
 * I2: versions of one VM count up from 1; an older one than the one known is refused.
 */

import type { Digest } from './digest.ts';
import type { Name } from './names.ts';
import type { VmHardware } from './vm-specification.ts';

export const DESCRIPTION_SCHEMA = 'vmdn-description/1';

/** The guest's operating system, from os-release. */
export interface OperatingSystem {
  readonly id: string;
  readonly versionId: string;
  readonly prettyName: string;
  /** The distribution's own word, such as `amd64`. */
  readonly architecture: string;
}

/** An installed package. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** Engines that keep a guest's databases in files of their own, behind a server. */
export const DATABASE_ENGINES = ['mariadb', 'mysql', 'postgresql'] as const;
export type DatabaseEngine = (typeof DATABASE_ENGINES)[number];

/** A database server of a guest. */
export interface GuestDatabase {
  readonly engine: DatabaseEngine;
  /** The server's, or where no package tells it that of its data; null when neither can be read. */
  readonly version: string | null;
  /** Null when it could not be found. */
  readonly dataDirectory: string | null;
}

/** A line of a guest's fstab. */
export interface GuestMount {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly options: string;
}

/** Firmware that can start a guest. */
export const BOOT_FIRMWARES = ['bios', 'uefi'] as const;
export type BootFirmware = (typeof BOOT_FIRMWARES)[number];

/** What a guest is, read from its disks. */
export interface GuestFacts {
  /** Null when no operating system was found. */
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
  /** Enabled at boot. */
  readonly services: readonly string[];
  readonly databases: readonly GuestDatabase[];
  readonly mounts: readonly GuestMount[];
  /** What the disks are laid out to be started by; none: not by themselves. */
  readonly boots: readonly BootFirmware[];
}

/** One disk of a description. */
export interface DescribedDisk {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  /** Bytes of blocks that are not zero. */
  readonly nonZeroBytes: number;
  /** Merkle root over the pages of the key column, 64 hexadecimal digits. */
  readonly keysRoot: Digest;
  /** Length of the recipe file. */
  readonly recipeBytes: number;
  /** The disk with its free space as zero; absent where its origin did not look for it. */
  readonly skipFree?: SkipFreeDisk | undefined;
}

/**
 * A disk with its free space as zero: deleted files and swap stay home. It has the size of the disk as it
 * is, and its digest where nothing could be skipped.
 */
export interface SkipFreeDisk {
  readonly digest: Digest;
  readonly nonZeroBytes: number;
  readonly keysRoot: Digest;
  readonly recipeBytes: number;
  /** What was kept whole although it may hold free space, and why: a line each, for people. */
  readonly kept: readonly string[];
}

/**
 * What of a VM its disks hold: `off`: all, it was shut off; `agent`: a running guest's file systems, which
 * its agent had frozen; `crash`: what a power cut would have left.
 */
export const CONSISTENCIES = ['off', 'agent', 'crash'] as const;
export type Consistency = (typeof CONSISTENCIES)[number];

export interface Description {
  readonly schema: typeof DESCRIPTION_SCHEMA;
  readonly vm: Name;
  readonly version: number;
  /** ISO 8601, by the origin's clock; for people, never for decisions. */
  readonly describedAt: string;
  /** Absent in those of origins that described only what was off. */
  readonly consistency?: Consistency | undefined;
  /** Null when no operating system was found: the disks teleport all the same. */
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
  readonly services: readonly string[];
  /** These three are absent where the origin did not look for them. */
  readonly databases?: readonly GuestDatabase[] | undefined;
  readonly mounts?: readonly GuestMount[] | undefined;
  readonly boots?: readonly BootFirmware[] | undefined;
  readonly hardware: VmHardware;
  readonly disks: readonly DescribedDisk[];
}

/** What an origin says of a version it described: off and unchanged, kept by a copy, or gone. */
export const VERSION_STATES = ['live', 'pinned', 'withdrawn'] as const;
export type VersionState = (typeof VERSION_STATES)[number];
