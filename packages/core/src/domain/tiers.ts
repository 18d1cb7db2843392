/**
 * Room: domain. The source tiers, cheapest first, and sums of bytes over them.
 *
 * I1: every byte of a delivered disk is accounted to exactly one tier, so the sum over the tiers of
 *     `diskBytes` is the disk's virtual size.
 * I2: `wireBytes` are what crossed a network for that tier (compressed, recipes included), counted
 *     as HTTP body bytes by the receiver.
 */

export const TIERS = ['zero', 'local', 'package', 'peer', 'origin'] as const;
export type Tier = (typeof TIERS)[number];

/** A number of bytes for each tier. */
export type TierBytes = Readonly<Record<Tier, number>>;

export const NO_TIER_BYTES: TierBytes = { zero: 0, local: 0, package: 0, peer: 0, origin: 0 };

/** The sum, tier by tier. */
export function addTierBytes(left: TierBytes, right: TierBytes): TierBytes {
  return {
    zero: left.zero + right.zero,
    local: left.local + right.local,
    package: left.package + right.package,
    peer: left.peer + right.peer,
    origin: left.origin + right.origin,
  };
}

/** The sum over all tiers. */
export function totalTierBytes(bytes: TierBytes): number {
  return bytes.zero + bytes.local + bytes.package + bytes.peer + bytes.origin;
}

/** How a request met the cache: a hit took no block bytes from the origin, a miss took nothing from
 * anywhere else but zeros, partial is the rest. */
export type CacheOutcome = 'hit' | 'partial' | 'miss';

/** The outcome of one delivered disk, from the bytes of it that each tier gave. */
export function cacheOutcome(diskBytes: TierBytes): CacheOutcome {
  if (diskBytes.origin === 0) return 'hit';
  return diskBytes.local + diskBytes.package + diskBytes.peer === 0 ? 'miss' : 'partial';
}
