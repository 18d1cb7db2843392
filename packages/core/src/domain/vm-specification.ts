/**
 * Room: domain. What a VM is made of, apart from its bytes: hardware, ports and the check that says
 * it is ready. A typed value that travels in the description; nothing of it is ever passed through
 * to a hypervisor unparsed.
 */

import type { DiskLayer } from './disk-format.ts';
import type { Id, Name } from './names.ts';

export type { DiskFormat } from './disk-format.ts';

/** A disk as an origin finds it: the top layer first, then each layer it stands on, all named. */
export interface DiskSource {
  readonly layers: readonly DiskLayer[];
}

/** A TCP port of the guest that the edge forwards. */
export interface GuestPort {
  readonly name: Name;
  readonly guest: number;
}

/** The check that says a guest is ready. */
export interface ReadyCheck {
  readonly kind: 'http' | 'tcp';
  /** Name of one of the VM's ports. */
  readonly port: Name;
  /** For `http`: a path that must answer 2xx. */
  readonly path?: string | undefined;
  readonly timeoutSeconds: number;
}

/** A network card of a VM. */
export interface GuestInterface {
  readonly network: Name;
  /** Six pairs of lower-case hexadecimal digits; without it the VM gets an address of its own. */
  readonly mac?: string | undefined;
}

/** The address of one card: unicast, as `GuestInterface.mac` has it. */
export const MAC_PATTERN = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;
/** Beside 24 disks, one card for the named ports and a source of randomness: the slots of one PCI bus. */
export const INTERFACES_MAX = 4;

/** The hardware and services of a VM. */
export interface VmHardware {
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly firmware: 'bios' | 'uefi';
  readonly ports: readonly GuestPort[];
  readonly ready: ReadyCheck | null;
  /** As its guest sees it (SMBIOS); absent from old descriptions and where nobody said. */
  readonly uuid?: Id | undefined;
  /** Its network cards in their order; absent: one, on the network `user`. */
  readonly interfaces?: readonly GuestInterface[] | undefined;
}

/** A VM as an origin finds it. */
export interface VmSpecification {
  readonly name: Name;
  readonly disks: readonly DiskSource[];
  readonly hardware: VmHardware;
}
