/**
 * Room: io, ports. What a hypervisor must do for an edge. Every driver passes the contract suite
 * (io/hypervisor/hypervisor.contract.ts).
 *
 * I1: a VM is named by an Id; `define`, `start`, `stop` and `destroy` may be repeated and change
 *     nothing the second time.
 * I2: an image below a VM is only ever read; all that the guest writes lies in the VM's own overlay,
 *     which `destroy` removes and nothing else does.
 * I3: a running VM does not depend on the process that started it: another process of the same node
 *     finds it (`status`, `list`), stops it and reads its console.
 * I4: a guest reaches nothing but the connections that came in through its named ports, and those networks
 *     that its hardware names and the operator of the node gave under these names.
 * I5: a disk that is still being filled is read from its export alone. A read waits while the export is
 *     away, and never fails; after `settle` the VM needs no export any more.
 * I6: a VM exists with its overlays as `prepare` left them, or not at all; they are never prepared twice, nor
 *     after a start.
 */

import type { Digest } from '../../domain/digest.ts';
import type { DiskLayer } from '../../domain/disk-format.ts';
import type { Id, Name } from '../../domain/names.ts';
import type { ReadyCheck, VmHardware } from '../../domain/vm-specification.ts';
import type { SocketUser } from './export-server.ts';

/** What executes the guest's instructions: the processor, or an emulator. */
export type Accelerator = 'kvm' | 'tcg';

/** A disk of a VM: a complete image of this node, which the VM's overlay stands on. */
export interface VmDisk {
  readonly digest: Digest;
  /** The image's files, all of them immutable: one, or a qcow2 and the raw file that it stands on. */
  readonly layers: readonly DiskLayer[];
  readonly virtualSizeBytes: number;
  /** Set while the files are still being filled. */
  readonly filling?: FillingDisk | undefined;
}

/** What a VM reads of a disk before its files are complete. */
export interface FillingDisk {
  /** Where the files of the layers lie until then, in the layers' order: the same files, other names. */
  readonly paths: readonly string[];
  /** Absolute path of the unix socket of an NBD server, and the name of a read-only export there. */
  readonly socket: string;
  readonly exportName: string;
}

/** What a VM is made of on this node. Plain JSON values. */
export interface VmDefinition {
  readonly vm: Id;
  readonly name: Name;
  readonly hardware: VmHardware;
  readonly disks: readonly VmDisk[];
}

/** Where a named port of a running guest is reachable on this machine. */
export interface VmEndpoint {
  readonly port: Name;
  readonly host: string;
  readonly hostPort: number;
}

/** A VM as it is. `defined`: it exists and does not run. */
export type VmStatus =
  | { readonly state: 'absent' }
  | { readonly state: 'defined'; readonly definition: VmDefinition }
  | {
      readonly state: 'running';
      readonly definition: VmDefinition;
      readonly accelerator: Accelerator;
      readonly endpoints: readonly VmEndpoint[];
    };

export type RunningVm = Extract<VmStatus, { state: 'running' }>;

/** Writes into a new VM's overlays, in the disks' order, by their paths. What it throws, `define` throws. */
export type PrepareOverlays = (overlays: readonly DiskLayer[]) => Promise<void>;

export interface StopOptions {
  readonly graceMs: number;
  /** Whether it is ended when the grace is over; yes unless said. */
  readonly isForced?: boolean | undefined;
  /** Ends the wait: throws `cancelled`, and the guest does what it was asked to. */
  readonly signal?: AbortSignal | undefined;
}

export interface Hypervisor {
  /**
   * Makes the VM's overlays, and has them prepared where that is asked for (I6): once they are there and
   * before the VM exists, so that what was broken off is made anew. A VM that exists takes over where the
   * same disks lie now, from its next start on. Throws `conflict` when it exists with another definition
   * otherwise, `unsupported_format` for hardware that this node lacks, `hostile_format` when a header names
   * another layer, `disk_full`.
   */
  define(definition: VmDefinition, prepare?: PrepareOverlays): Promise<void>;
  /** Starts it; a running VM is left as it is. Throws `not_found`, `tool_failed`, `tool_missing`. */
  start(vm: Id): Promise<RunningVm>;
  /**
   * The disks lie complete in the files of `definition`: a VM that runs reads them from now on, with no
   * pause but that of one request, and a later start uses them. May be repeated. Throws `not_found`,
   * `conflict` when the VM runs on other files than these and its driver cannot give it others (it goes on
   * with its export), `hostile_format`.
   */
  settle(definition: VmDefinition): Promise<void>;
  /** The user that a VM's exports are for; null: the user of this process. */
  exportUser(vm: Id): Promise<SocketUser | null>;
  /**
   * Asks the guest to shut down and ends it after `graceMs` (0: at once). One that must not be ended by force
   * goes on instead: throws `timeout`.
   */
  stop(vm: Id, options: StopOptions): Promise<void>;
  /**
   * The files in which a VM that is off has what its guest sees, for each disk: the VM's overlay first, then
   * the image's. Throws `not_found`, `conflict` (it runs, or a disk is still being filled).
   */
  diskFiles(vm: Id): Promise<readonly (readonly DiskLayer[])[]>;
  /** Ends the VM at once and removes it with its overlays. */
  destroy(vm: Id): Promise<void>;
  status(vm: Id): Promise<VmStatus>;
  /** The VMs that exist on this node, running or not. */
  list(): Promise<readonly Id[]>;
  /** The newest part of what the guest wrote to its serial console. */
  consoleLog(vm: Id): Promise<string>;
  /**
   * Resolves when the check succeeds. Throws `guest_not_ready` when its time is up or the guest
   * ended (with the end of the console in `data`), `cancelled`. `heldUpSeconds` tells how long reads of the
   * guest waited so far for bytes that are not here yet: that time is not the guest's, and does not count.
   */
  waitReady(
    vm: Id,
    check: ReadyCheck,
    options: {
      readonly signal: AbortSignal;
      readonly heldUpSeconds?: (() => number) | undefined;
    },
  ): Promise<void>;
}
