/**
 * Room: domain. A plan in numbers, the sum over a VM's disks, and the estimate for an edge that has
 * not planned yet.
 *
 * I1: an edge without a plan is thought to fetch everything from the origin: it never wins by
 *     knowing less.
 */

import type { Digest } from './digest.ts';
import type { Name } from './names.ts';
import type { MethodCost } from './plan-estimate.ts';
import { addTierBytes, NO_TIER_BYTES, type TierBytes } from './tiers.ts';

/** A local image as a source for a wanted disk. */
export interface CandidateNumbers {
  readonly digest: Digest;
  readonly name: Name | null;
  readonly coveredBytes: number;
}

/** What would come from where, and how long it would take; the contracts' `planSummary`. */
export interface PlanNumbers {
  readonly diskBytes: TierBytes;
  readonly wireBytes: number;
  readonly estimatedSeconds: number;
  readonly candidates: readonly CandidateNumbers[];
  /** A plain copy, for comparison. */
  readonly copy: MethodCost;
}

/** Candidates that a sum keeps: what the contract's `planSummary` takes. */
const CANDIDATES_MAX = 64;

/** 100 Mbit/s: an honest guess for a link that nobody has described. */
const ORIGIN_BYTES_PER_SECOND_GUESS = 12_500_000;

/** Non-zero bytes after zstd, as a share: 0.35 to 0.5 for Debian systems (DESIGN §3: 279.5 of 815 MB). */
const COMPRESSED_SHARE = 0.45;

/** A boot of a small guest; the same for every edge, so that plans of real edges stay comparable. */
const BOOT_SECONDS_GUESS = 40;

/** The plans of a VM's disks as one: they share the link, so their times add up. */
export function totalPlan(plans: readonly PlanNumbers[]): PlanNumbers {
  return plans.reduce<PlanNumbers>(
    (sum, plan) => ({
      diskBytes: addTierBytes(sum.diskBytes, plan.diskBytes),
      wireBytes: sum.wireBytes + plan.wireBytes,
      estimatedSeconds: sum.estimatedSeconds + plan.estimatedSeconds,
      candidates: [...sum.candidates, ...plan.candidates].slice(0, CANDIDATES_MAX),
      copy: {
        wireBytes: sum.copy.wireBytes + plan.copy.wireBytes,
        estimatedSeconds: sum.copy.estimatedSeconds + plan.copy.estimatedSeconds,
      },
    }),
    {
      diskBytes: NO_TIER_BYTES,
      ...{ wireBytes: 0, estimatedSeconds: 0, candidates: [] },
      copy: { wireBytes: 0, estimatedSeconds: 0 },
    },
  );
}

/** Seconds to a running VM when every disk that is not held comes from the origin. */
export function estimateUnplanned(
  demand: {
    readonly disks: readonly { readonly digest: Digest; readonly nonZeroBytes: number }[];
    readonly originBytesPerSecond: number | null;
  },
  held: ReadonlySet<Digest>,
): number {
  const missing = demand.disks.filter((disk) => !held.has(disk.digest));
  const nonZeroBytes = missing.reduce((sum, disk) => sum + disk.nonZeroBytes, 0);
  const bytesPerSecond = Math.max(1, demand.originBytesPerSecond ?? ORIGIN_BYTES_PER_SECOND_GUESS);
  return BOOT_SECONDS_GUESS + (nonZeroBytes * COMPRESSED_SHARE) / bytesPerSecond;
}
