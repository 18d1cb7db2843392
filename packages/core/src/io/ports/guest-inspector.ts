/**
 * Room: io, ports. What a guest on locked exports or on a disk image is, found without booting it.
 *
 * I1: an unknown, damaged or hostile guest is described as far as it can be; what was not found, and why,
 *     stands in `remarks`, in words for the operator.
 */

import type { GuestFacts } from '../../domain/description.ts';
import type { DiskLayer } from '../../domain/disk-format.ts';

export interface GuestInspection extends GuestFacts {
  readonly remarks: readonly string[];
}

/**
 * Inspects the guest on the disks that are exported at `socketPaths`, in the VM's order. Throws `cancelled`;
 * an inspector by a single means also `tool_missing`, `tool_failed`, `timeout`.
 */
export type DiskInspector = (
  socketPaths: readonly string[],
  signal?: AbortSignal,
) => Promise<GuestInspection>;

/** Inspects the guest in an image of this node. Throws `cancelled`, `unavailable`, `tool_missing`. */
export type GuestInspector = (
  layers: readonly DiskLayer[],
  signal: AbortSignal,
) => Promise<GuestInspection>;
