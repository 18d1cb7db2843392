/**
 * Room: edge, services. Plans against all that this edge holds, computed in the engine's worker and kept
 * while the library stays the same.
 *
 * I1: a plan is only a hint for the executor, which verifies every segment: one that is out of date
 *     costs bytes, never correctness.
 * I2: package images that a plan is made with stay until it is made, and those that it uses count as used.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { type DiskPlan, type LocalImage, planBytes, SELF } from '@vmdn/core/domain/plan.ts';
import {
  DEFAULT_RATES,
  type DeliverySample,
  estimatePlan,
  learnRates,
  type PlanSummary,
  type Rates,
} from '@vmdn/core/domain/plan-estimate.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import { PLANS_KEPT_BYTES_MAX } from '../limits.ts';
import type { Coverage, SyncEngine } from '../sync/create-sync-engine.ts';
import type { ImageUses } from './image-uses.ts';
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

interface KeptPlan {
  readonly revision: number;
  readonly plan: DiskPlan;
  /** Package images that it takes blocks from. */
  readonly packages: ReadonlySet<Digest>;
}

export function createPlanner(deps: {
  readonly engine: Pick<SyncEngine, 'plan' | 'coverage'>;
  readonly store: Pick<ImageStore, 'list' | 'onChange'>;
  /** Disks in the making, as sources for others. */
  readonly partialImages: () => Promise<readonly LocalImage[]>;
  /** Told which package images plans use; they hold those that they are made with. */
  readonly uses: Pick<ImageUses, 'planned' | 'hold'>;
  /** Whether disks may share the storage of an image that has most of them in place. */
  readonly sharesInPlace: boolean;
  readonly ratios: WireRatios;
}): Planner {
  const kept = new Map<Digest, KeptPlan>();
  let learned: Rates = DEFAULT_RATES;
  const rates = (digest: Digest): Rates => deps.ratios.applied(digest, learned);
  let revision = 0;
  deps.store.onChange(() => {
    revision += 1;
  });
  const withImages = async <T>(
    wanted: Digest,
    work: (images: readonly LocalImage[]) => Promise<T>,
  ): Promise<T> => {
    const partial = await deps.partialImages();
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
    // Nothing was waited for since the list was read: no image of it is gone.
    using _held = deps.uses.hold(packagesOf(whole));
    // What is in the making for the same digest is the staging itself, which the engine resumes.
    return await work([...whole, ...partial.filter(({ digest }) => digest !== wanted)]);
  };
  return {
    get revision() {
      return revision;
    },
    async plan(digest, recipePath, signal) {
      const known = kept.get(digest);
      if (known?.revision === revision) {
        deps.uses.planned(digest, known.packages);
        return known.plan;
      }
      // The new one takes its place also in memory.
      kept.delete(digest);
      const before = revision;
      return await withImages(digest, async (images) => {
        const plan = await deps.engine.plan({ digest, recipePath, images, signal });
        const packages = packagesUsed(plan);
        deps.uses.planned(digest, packages);
        kept.set(digest, { revision: before, plan, packages });
        forgetOldest(kept);
        return plan;
      });
    },
    async coverage(digest, recipePath, offered, signal) {
      return await withImages(digest, (images) =>
        deps.engine.coverage({ digest, recipePath, images, offered, signal }),
      );
    },
    rates,
    estimate: (plan, remoteTier) => estimatePlan(plan, { ...rates(plan.digest), remoteTier }),
    measure: deps.ratios.measure,
    observe(sample) {
      learned = learnRates(learned, sample);
    },
  };
}

function packagesOf(images: readonly LocalImage[]): readonly Digest[] {
  return images.filter(({ tier }) => tier === 'package').map(({ digest }) => digest);
}

/** The package images that a plan takes blocks from. */
function packagesUsed({ images, source, placeImage }: DiskPlan): ReadonlySet<Digest> {
  const used = new Set<number>();
  // The numbers from SELF on are no places.
  for (const place of source) if (place < SELF) used.add(placeImage[place]!);
  return new Set(packagesOf(images.filter((_, image) => used.has(image))));
}

/** Forgets plans from the oldest on, until the others fit; never the newest, which somebody waits for. */
function forgetOldest(kept: Map<Digest, { readonly plan: DiskPlan }>): void {
  let bytes = 0;
  for (const { plan } of kept.values()) bytes += planBytes(plan);
  for (const [digest, { plan }] of kept) {
    if (bytes <= PLANS_KEPT_BYTES_MAX || kept.size === 1) return;
    kept.delete(digest);
    bytes -= planBytes(plan);
  }
}

/** A plan's numbers as the contract has them. */
export function contractSummary(summary: PlanSummary) {
  return { ...summary, candidates: summary.candidates.map((candidate) => ({ ...candidate })) };
}
