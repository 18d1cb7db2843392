/**
 * Room: edge, services. Plans against all that this edge holds, computed in the engine's worker and kept
 * while the library stays the same.
 *
 * I1: a plan is only a hint for the executor, which verifies every segment: one that is out of date
 *     costs bytes, never correctness.
 * I2: package images that a plan is made with stay until it is made, and those that it uses count as used.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import {
  DEFAULT_RATES,
  type DiskPlan,
  type LocalImage,
  type PlanSummary,
  type Rates,
  SELF,
} from '@vmdn/core/domain/plan.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import { PLANS_KEPT_MAX } from '../limits.ts';
import type { Coverage, SyncEngine } from '../sync/create-sync-engine.ts';
import type { ImageUses } from './image-uses.ts';

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

interface KeptPlan {
  readonly revision: number;
  readonly plan: DiskPlan;
  /** Package images that it takes blocks from. */
  readonly packages: ReadonlySet<Digest>;
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
  /** Told which package images plans use; they hold those that they are made with. */
  readonly uses: Pick<ImageUses, 'planned' | 'hold'>;
  /** Whether disks may share the storage of an image that has most of them in place. */
  readonly sharesInPlace: boolean;
}): Planner {
  const kept = new Map<Digest, KeptPlan>();
  let rates: Rates = DEFAULT_RATES;
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
      const before = revision;
      return await withImages(digest, async (images) => {
        const plan = await deps.engine.plan({ digest, recipePath, images, rates, signal });
        const packages = packagesUsed(plan);
        deps.uses.planned(digest, packages);
        kept.delete(digest);
        kept.set(digest, { revision: before, plan, packages });
        if (kept.size > PLANS_KEPT_MAX) kept.delete(kept.keys().next().value!);
        return plan;
      });
    },
    async coverage(digest, recipePath, offered, signal) {
      return await withImages(digest, (images) =>
        deps.engine.coverage({ digest, recipePath, images, offered, signal }),
      );
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

/** A plan's numbers as the contract has them. */
export function contractSummary(summary: PlanSummary) {
  return { ...summary, candidates: summary.candidates.map((candidate) => ({ ...candidate })) };
}
