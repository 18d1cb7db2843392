/**
 * Room: io, ports. How a delivered VM that is off becomes images of this node, with all that it has written.
 *
 * I1: all disks are locked before the first is read and until the last was: they belong together, and the
 *     VM can't be started meanwhile.
 * I2: the VM's own files are only read: whatever happens, it is started again with all its writes.
 * I3: an image is what was read: its digest is that of all guest-visible bytes, its own segments are read
 *     back.
 * I4: idempotent: disks that did not change since give the same digests, and are not copied again.
 * I5: an image is made only once whoever ordered it knows of it: it can be taken back, whatever happens next.
 */

import type { DescribedDisk } from '../../domain/description.ts';
import type { Digest } from '../../domain/digest.ts';
import type { DiskLayer } from '../../domain/disk-format.ts';
import type { Id } from '../../domain/names.ts';
import type { GuestInspection } from './guest-inspector.ts';

export interface CaptureOrder {
  readonly id: Id;
  /** The files of each disk, the VM's overlay first (`Hypervisor.diskFiles`). */
  readonly disks: readonly (readonly DiskLayer[])[];
  readonly signal: AbortSignal;
  /** An image that is not there yet is made when this resolves (I5). */
  readonly willMake: (digest: Digest) => Promise<void>;
  /** Called now and then with words for people. */
  readonly onProgress: (words: string) => void;
}

export interface CapturedVm {
  readonly disks: readonly DescribedDisk[];
  readonly guest: GuestInspection;
  /** Bytes that were read to hash them, and bytes that the images have of their own, new ones only. */
  readonly readBytes: number;
  readonly ownBytes: number;
}

/**
 * Throws `source_running` (the VM runs), `hostile_format`, `no_room`, `disk_full`, `corrupt`, `tool_failed`,
 * `cancelled`, …
 */
export type CaptureVm = (order: CaptureOrder) => Promise<CapturedVm>;
