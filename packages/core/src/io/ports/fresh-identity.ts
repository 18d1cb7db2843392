/**
 * Room: io, ports. Giving a guest an identity of its own, on its disks, before its first start.
 */

import type { DiskLayer } from '../../domain/disk-format.ts';

export interface FreshIdentityJob {
  /** The guest's disks in their order: what may be written. */
  readonly disks: readonly DiskLayer[];
  readonly hostname: string;
  /** Addresses of its network cards as they were, where that is known, and as they will be. */
  readonly macs: readonly { readonly from: string; readonly to: string }[];
  readonly signal: AbortSignal;
}

/**
 * machine-id, SSH host keys, host name, and what the source kept by its old ones. Returns a line for each
 * thing that was done. Throws `unsupported_format` where no system can be mounted whole, or its keys are not
 * understood; `tool_failed`, `tool_missing`, `timeout`, `cancelled`. On any error the disks are half written.
 */
export type FreshIdentity = (job: FreshIdentityJob) => Promise<readonly string[]>;
