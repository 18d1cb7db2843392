/**
 * Room: edge, decisions (pure). What was delivered of a disk, as numbers that add up.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import type { DiskDelivery } from '@vmdn/core/http/contracts/coordinator-teleports.ts';

/** A disk that was here before anybody asked: all of it is local, nothing crossed a network. */
export function localDelivery(disk: {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
}): DiskDelivery {
  const zero = disk.virtualSizeBytes - disk.nonZeroBytes;
  return {
    digest: disk.digest,
    virtualSizeBytes: disk.virtualSizeBytes,
    verifiedBytes: disk.virtualSizeBytes,
    diskBytes: { ...NO_TIER_BYTES, zero, local: disk.nonZeroBytes },
    wireBytes: { ...NO_TIER_BYTES },
  };
}

/** A disk of which nothing is here yet. */
export function emptyDelivery(disk: {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
}): DiskDelivery {
  return {
    digest: disk.digest,
    virtualSizeBytes: disk.virtualSizeBytes,
    verifiedBytes: 0,
    diskBytes: { ...NO_TIER_BYTES },
    wireBytes: { ...NO_TIER_BYTES },
  };
}
