/**
 * Room: domain. What a functional copy (functional.ts) would cost, beside an exact delivery: so that a
 * planner can compare them before a byte moves.
 *
 * I1: a copy reads its source through the executor of exact deliveries, and never more of it: its bytes are
 *     a share of theirs, all of them until a copy has shown how many.
 * I2: until a copy was made here, DEFAULT_FUNCTIONAL_RATES say what is assumed; they were measured under
 *     emulation, so a copy never looks cheaper than it is.
 * I3: what differs between files is known only when somebody has looked: the estimate is by packages.
 */

import type { Description } from './description.ts';
import type { Digest } from './digest.ts';
import {
  canBeFromScratch,
  type FunctionalCandidate,
  functionalObstacle,
  listImages,
  packageDifference,
  pickCandidate,
  scratchPackages,
} from './functional.ts';
import type { MethodCost } from './plan-estimate.ts';

/** What functional copies take on an edge. */
export interface FunctionalRates {
  /** What a copy fetched, as a part of what an exact delivery would have fetched: 0 to 1. */
  readonly wireShare: number;
  /** In the appliance, but for packages and waiting for the source: start, mounts, file runs. */
  readonly fixedSeconds: number;
  /** In the appliance, for each package that is installed or removed. */
  readonly secondsPerPackage: number;
}

/** Of `web-01` from `debian-12-base`, 22 packages, emulated (docs/adr/0021-functional-teleports.md). */
export const DEFAULT_FUNCTIONAL_RATES: FunctionalRates = {
  wireShare: 1,
  fixedSeconds: 150,
  secondsPerPackage: 6,
};

/** What a copy would cost, and from what it would be made. */
export interface FunctionalCost extends MethodCost {
  /** The image that would be cloned; null: it would be made from scratch. */
  readonly image: Digest | null;
  /** Packages. */
  readonly installed: number;
  readonly removed: number;
}

/**
 * The cost of a copy from the image with the fewest packages to change, or from scratch where nothing here
 * is of the release; null when the guest can't be copied so. `exact` is the cost of an exact delivery.
 */
export function estimateFunctional(
  guest: Pick<Description, 'os' | 'packages' | 'disks' | 'mounts'>,
  images: readonly (FunctionalCandidate & { readonly digest: Digest })[],
  exact: MethodCost,
  rates: FunctionalRates,
): FunctionalCost | null {
  const { os, packages } = guest;
  if (os === null || functionalObstacle(guest) !== null) return null;
  const fit = listImages(os, images).map((image) => ({ image, differingBytes: null }));
  const image = pickCandidate(packages, fit);
  if (image === null && !canBeFromScratch(packages)) return null;
  const { install, remove } =
    image === null ? scratchPackages(packages) : packageDifference(packages, image.packages);
  const [installed, removed] = [install.length, remove.length];
  const { wireShare, fixedSeconds, secondsPerPackage } = rates;
  const applianceSeconds = fixedSeconds + secondsPerPackage * (installed + removed);
  return {
    wireBytes: Math.round(exact.wireBytes * wireShare),
    estimatedSeconds: applianceSeconds + exact.estimatedSeconds * wireShare,
    ...{ image: image?.digest ?? null, installed, removed },
  };
}

/** What one copy showed. */
export interface FunctionalSample {
  /** From other nodes, without its recipe. */
  readonly wireBytes: number;
  /** What an exact delivery would have fetched by its plan. */
  readonly exact: MethodCost;
  readonly changedPackages: number;
  /** In appliances, and of that for packages. */
  readonly applianceSeconds: number;
  readonly packageSeconds: number;
}

/** Weight of a new sample: three copies make most of the estimate. */
const SAMPLE_WEIGHT = 0.5;

/** The rates after one more copy. */
export function learnFunctionalRates(
  rates: FunctionalRates,
  sample: FunctionalSample,
): FunctionalRates {
  const { wireBytes, exact, changedPackages, applianceSeconds, packageSeconds } = sample;
  const share = exact.wireBytes > 0 ? Math.min(1, wireBytes / exact.wireBytes) : rates.wireShare;
  // The appliance waits while the source is read.
  const reading = exact.estimatedSeconds * share;
  const fixed = Math.max(0, applianceSeconds - packageSeconds - reading);
  const each = changedPackages > 0 ? packageSeconds / changedPackages : rates.secondsPerPackage;
  return {
    wireShare: blend(rates.wireShare, share),
    fixedSeconds: blend(rates.fixedSeconds, fixed),
    secondsPerPackage: blend(rates.secondsPerPackage, each),
  };
}

function blend(before: number, now: number): number {
  return before + (now - before) * SAMPLE_WEIGHT;
}
