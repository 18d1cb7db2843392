/**
 * Room: io, ports. SMART-MIGRATE of the 2015 report: a functional copy of a guest, made of a similar image
 * of this node or from scratch, its distribution's packages, and of the source only what those do not have.
 *
 * I1: source and candidate are never changed.
 * I2: on any error nothing is left at `targetPath`, and the words name what else can be done.
 */

import type { BootFirmware, InstalledPackage, OperatingSystem } from '../../domain/description.ts';
import type { Digest } from '../../domain/digest.ts';
import type { DiskLayer } from '../../domain/disk-format.ts';
import type { Id } from '../../domain/names.ts';

/** A disk that can be read: an NBD server's unix socket, or a raw file. */
export type SourceDisk = { readonly socketPath: string } | { readonly path: string };

/** An image of this node that a copy may start from. */
export interface FunctionalImage {
  readonly name: string;
  /** The top layer first; made by this node. */
  readonly layers: readonly DiskLayer[];
  readonly virtualSizeBytes: number;
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
}

export interface FunctionalCopyJob {
  readonly source: {
    readonly disks: readonly SourceDisk[];
    readonly virtualSizeBytes: number;
    readonly os: OperatingSystem;
    readonly packages: readonly InstalledPackage[];
    /** What starts it: a disk that is made from scratch is laid out for that. */
    readonly firmware: BootFirmware;
  };
  readonly images: readonly FunctionalImage[];
  /** The new disk: a qcow2 over the layers of the image that was chosen, or by itself. */
  readonly targetPath: string;
  readonly signal?: AbortSignal | undefined;
}

export interface FunctionalCopyResult {
  /** Name of the image that was cloned; null: made from scratch, since none was of the release. */
  readonly image: string | null;
  readonly layers: readonly DiskLayer[];
  readonly virtualSizeBytes: number;
  readonly installed: number;
  readonly removed: number;
  /** Package files from mirrors. */
  readonly packageBytes: number;
  /** Files that were written by the two runs, and their sizes. */
  readonly files: number;
  readonly fileBytes: number;
  readonly seconds: {
    /** Fetching packages. */
    readonly packages: number;
    /** In appliances, dry runs among them. */
    readonly appliance: number;
  };
  /** Seconds of the steps in the appliance that made it, in its own words. */
  readonly steps: Readonly<Record<string, number>>;
}

/**
 * Makes a functional copy. Throws `not_found` (no image of the same release and no kernel to begin with;
 * a package that no mirror has any more), `unsupported_format` (a disk whose system can't be mounted:
 * encrypted, broken, unknown), `no_room`, `tool_failed` (a package's script failed; files could not be
 * copied), `tool_missing`, `timeout`, `unavailable`, `corrupt`, `cancelled`.
 */
export type FunctionalCopier = (job: FunctionalCopyJob) => Promise<FunctionalCopyResult>;

/** What tells that a file is the one that it was. */
export type FileSeal = Readonly<Record<string, string>>;

/** Where the disks of functional copies lie on this node. */
export interface FunctionalFiles {
  path(vm: Id): string;
  /** Makes the folder of a VM's disk; what was there is gone. */
  prepare(vm: Id): Promise<void>;
  /** Reads a finished copy through: what its content is, and by what its file will be known. */
  seal(
    layers: readonly DiskLayer[],
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly seal: FileSeal }>;
  isSealed(vm: Id, seal: FileSeal): Promise<boolean>;
  /** Idempotent. */
  remove(vm: Id): Promise<void>;
}
