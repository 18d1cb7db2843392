/**
 * Room: io, ports. What a guest on a disk image is, found without running or mounting anything.
 */

import type { InstalledPackage, OperatingSystem } from '../../domain/description.ts';

export interface InspectedGuest {
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
}

/** Inspects the guest in a raw image file of this node. Throws `cancelled`, `unavailable`, `tool_missing`. */
export type GuestInspector = (imagePath: string, signal: AbortSignal) => Promise<InspectedGuest>;
