/**
 * Room: io, ports. How a VM that was delivered becomes files for another hypervisor.
 *
 * I1: the disks are the delivered ones, proved by their digests after they were written; what the guest wrote
 *     since is not in them.
 * I2: the folder is there whole or not at all; one that is there is never written over.
 * I3: idempotent by order: a folder that this order made is its result.
 */

import type { Digest } from '../../domain/digest.ts';
import type { Id, Name } from '../../domain/names.ts';
import type { ExportFormat, Hypervisor } from '../../domain/vm-export.ts';
import type { VmHardware } from '../../domain/vm-specification.ts';

export interface VmExportOrder {
  readonly id: Id;
  /** Of the folder, and of the VM in its definition. */
  readonly name: Name;
  readonly hardware: VmHardware;
  /** Of the disks, in order. */
  readonly digests: readonly Digest[];
  readonly format: ExportFormat;
  readonly hypervisor: Hypervisor;
  readonly signal: AbortSignal;
  /** Called now and then with words for people. */
  readonly onProgress: (words: string) => void;
}

/**
 * Makes the folder and returns its path. Throws `conflict` (there is one of that name), `not_found` (a disk
 * is not held here), `no_room`, `disk_full`, `corrupt`, `tool_missing`, `tool_failed`, `cancelled`.
 */
export type ExportVm = (order: VmExportOrder) => Promise<{ readonly folder: string }>;
