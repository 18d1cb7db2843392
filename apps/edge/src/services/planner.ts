/**
 * Room: edge, services. Plans against all that this edge holds, computed in the engine's worker and kept
 * while the library stays the same.
 *
 * I1: a plan is only a hint for the executor, which verifies every segment: one that is out of date
 *     costs bytes, never correctness.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import {
  DEFAULT_RATES,
  type DiskPlan,
  type LocalImage,
  type PlanSummary,
  type Rates,
} from '@vmdn/core/domain/plan.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import { PLANS_KEPT_MAX } from '../limits.ts';
import type { Coverage, SyncEngine } from '../sync/create-sync-engine.ts';

export interface Planner {
  /** The plan for a disk whose recipe file is at `recipePath`. Throws `corrupt`, `cancelled`. */
  plan(digest: Digest, recipePath: string, signal: AbortSignal): Promise<DiskPlan>;
  /**
   * What images that are not here, by their recipe files, would add to those that are. Throws as `plan`.
   */
  coverage(
    digest: Digest,
    recipePath: string,
    offered: readonly string[],
    signal: AbortSignal,
  ): Promise<Coverage>;
  /** As measured so far. */
  readonly rates: Rates;
  /** Learns from a delivery how fast the link is and how well blocks compress. */
  observe(sample: LinkSample): void;
  /** Changes whenever a plan made before may be out of date. */
  readonly revision: number;
}

/** What a delivery took from other nodes. */
export interface LinkSample {
  readonly wireBytes: number;
  readonly diskBytes: number;
  readonly seconds: number;
}

/** Less says nothing about the link: latency and set-up count for more than the bytes. */
const SAMPLE_BYTES_MIN = 4 * 1024 * 1024;
/** Weight of a new sample: three deliveries make most of the estimate. */
const SAMPLE_WEIGHT = 0.5;

export function createPlanner(deps: {
  readonly engine: Pick<SyncEngine, 'plan' | 'coverage'>;
  readonly store: Pick<ImageStore, 'list' | 'onChange'>;
  /** Disks in the making, as sources for others. */
  readonly partialImages: () => Promise<readonly LocalImage[]>;
  /** Whether disks may share the storage of an image that has most of them in place. */
  readonly sharesInPlace: boolean;
}): Planner {
  const kept = new Map<Digest, { readonly revision: number; readonly plan: DiskPlan }>();
  let rates: Rates = DEFAULT_RATES;
  let revision = 0;
  deps.store.onChange(() => {
    revision += 1;
  });
  const images = async (wanted: Digest): Promise<readonly LocalImage[]> => {
    const whole = deps.store.list().map(
      ({ digest, name, kind, format, layers, recipePath, virtualSizeBytes }): LocalImage => ({
        digest,
        name,
        layers,
        recipePath,
        virtualSizeBytes,
        tier: kind === 'package' ? 'package' : 'local',
        canBeShared: deps.sharesInPlace && kind !== 'package' && format === 'raw',
      }),
    );
    const partial = await deps.partialImages();
    // What is in the making for the same digest is the staging itself, which the engine resumes.
    return [...whole, ...partial.filter(({ digest }) => digest !== wanted)];
  };
  return {
    get revision() {
      return revision;
    },
    async plan(digest, recipePath, signal) {
      const known = kept.get(digest);
      if (known?.revision === revision) return known.plan;
      const before = revision;
      const request = { digest, recipePath, images: await images(digest), rates, signal };
      const plan = await deps.engine.plan(request);
      kept.delete(digest);
      kept.set(digest, { revision: before, plan });
      if (kept.size > PLANS_KEPT_MAX) kept.delete(kept.keys().next().value!);
      return plan;
    },
    async coverage(digest, recipePath, offered, signal) {
      const request = { digest, recipePath, images: await images(digest), offered, signal };
      return await deps.engine.coverage(request);
    },
    get rates() {
      return rates;
    },
    observe({ wireBytes, diskBytes, seconds }) {
      if (wireBytes < SAMPLE_BYTES_MIN || seconds <= 0 || diskBytes <= 0) return;
      const blend = (before: number, now: number): number =>
        before * (1 - SAMPLE_WEIGHT) + now * SAMPLE_WEIGHT;
      rates = {
        ...rates,
        remoteBytesPerSecond: blend(rates.remoteBytesPerSecond, wireBytes / seconds),
        compressedRatio: blend(rates.compressedRatio, Math.min(1, wireBytes / diskBytes)),
      };
    },
  };
}

/** A plan's numbers as the contract has them. */
export function contractSummary(summary: PlanSummary) {
  return { ...summary, candidates: summary.candidates.map((candidate) => ({ ...candidate })) };
}
