/**
 * Room: edge, services. Plans against all that this edge holds, computed in the engine's worker and kept
 * while the library stays the same.
 *
 * I1: a plan is only a hint for the executor, which verifies every segment: one that is out of date
 *     costs bytes, never correctness.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { DiskPlan, LocalImage } from '@vmdn/core/domain/plan.ts';
import {
  DEFAULT_RATES,
  type DeliverySample,
  estimatePlan,
  learnRates,
  type PlanSummary,
  type Rates,
} from '@vmdn/core/domain/plan-estimate.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import { PLANS_KEPT_MAX } from '../limits.ts';
import type { Coverage, SyncEngine } from '../sync/create-sync-engine.ts';
import type { WireRatios } from './wire-ratios.ts';

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
  /** As measured so far, for a disk. */
  rates(digest: Digest): Rates;
  /** What a plan costs when `tier` is where the rest comes from. */
  estimate(plan: DiskPlan, tier: Rates['remoteTier']): PlanSummary;
  /** Asks a holder how well what a plan fetches compresses. Throws `cancelled` only. */
  measure: WireRatios['measure'];
  /** Learns from a delivery how fast link and disk are and how well blocks compress. */
  observe(sample: DeliverySample): void;
  /** Changes whenever a plan made before may be out of date. */
  readonly revision: number;
}

export function createPlanner(deps: {
  readonly engine: Pick<SyncEngine, 'plan' | 'coverage'>;
  readonly store: Pick<ImageStore, 'list' | 'onChange'>;
  /** Disks in the making, as sources for others. */
  readonly partialImages: () => Promise<readonly LocalImage[]>;
  /** Whether disks may share the storage of an image that has most of them in place. */
  readonly sharesInPlace: boolean;
  readonly ratios: WireRatios;
}): Planner {
  const kept = new Map<Digest, { readonly revision: number; readonly plan: DiskPlan }>();
  let learned: Rates = DEFAULT_RATES;
  const rates = (digest: Digest): Rates => deps.ratios.applied(digest, learned);
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
      const request = { digest, recipePath, images: await images(digest), signal };
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
    rates,
    estimate: (plan, remoteTier) => estimatePlan(plan, { ...rates(plan.digest), remoteTier }),
    measure: deps.ratios.measure,
    observe(sample) {
      learned = learnRates(learned, sample);
    },
  };
}

/** A plan's numbers as the contract has them. */
export function contractSummary(summary: PlanSummary) {
  return { ...summary, candidates: summary.candidates.map((candidate) => ({ ...candidate })) };
}
