/**
 * Room: edge, services. Packages as sources: brings those packages of a guest into the store, as package
 * images, whose blocks come sooner from a mirror than from the nodes that hold the guest's disk.
 *
 * I1: a package is only a source like others: whatever goes wrong with one is named and counted, its
 *     blocks come from elsewhere, and the delivery goes on.
 * I2: what a package covers is known from its recipe before it is fetched, here or from the coordinator;
 *     only of one that nobody has unpacked yet it is expected.
 * I3: a disk whose packages were looked at to the end is not looked at again until what this edge holds, or
 *     uses, changes.
 * I4: what crosses for packages is told to whoever caused it, also when it was in vain.
 * I5: what nobody waits for keeps to the budget of background work.
 */

import type { InstalledPackage, OperatingSystem } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import {
  AHEAD_COST_WEIGHT,
  type PackageOffer,
  worthwhilePackages,
} from '@vmdn/core/domain/package-choice.ts';
import type { PackageMirrors, ResolvedPackage } from '@vmdn/core/io/ports/package-mirrors.ts';
import pLimit from 'p-limit';
import type { EdgeEvents } from '../events.ts';
import { PACKAGES_FETCHED_AT_ONCE, PACKAGES_MISSING_BYTES_MIN } from '../limits.ts';
import type { BackgroundBudget } from './background-budget.ts';
import type { ImageUses } from './image-uses.ts';
import type { KnownGuests } from './known-guests.ts';
import type { PackageImages } from './package-images.ts';
import { packageKey } from './package-key.ts';
import type { PackageRatesMeasured } from './package-rates.ts';
import type { PackageRecipes } from './package-recipes.ts';
import type { Planner } from './planner.ts';

/** What a description says of a guest. */
export interface PackageGuest {
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
}

/** A wanted disk and the guest on it. */
export interface PackageOrder {
  readonly digest: Digest;
  readonly recipePath: string;
  readonly guest: PackageGuest;
  /** Somebody waits for the disk: no more time is taken than the remote holders would take. */
  readonly isAwaited: boolean;
  /** Told what crossed for each package, by the SHA-256 of its file, before the package is kept. */
  readonly onRead: (sha256: Digest, wireBytes: number) => Promise<void>;
  /** Asked before each package: false ends the bringing for now. */
  readonly goesOn: () => boolean;
  readonly signal: AbortSignal;
}

/** What was brought for one order. */
export interface PackagesBrought {
  readonly packages: number;
  /** Of package files, from mirrors. */
  readonly wireBytes: number;
  readonly seconds: number;
}

export interface Packages {
  /** Orders under way: scores wait for them. */
  readonly active: number;
  /** Called whenever the last order under way has ended. */
  onIdle(listener: () => void): void;
  /** Whether a disk's packages were looked at to the end, and nothing changed since (I3). */
  isSettled(digest: Digest): boolean;
  /** Brings what pays for itself. Throws `cancelled` only. */
  bring(order: PackageOrder): Promise<PackagesBrought>;
}

const NOTHING: PackagesBrought = { packages: 0, wireBytes: 0, seconds: 0 };

interface Deps {
  readonly mirrors: PackageMirrors;
  readonly images: PackageImages;
  readonly guests: Pick<KnownGuests, 'packages'>;
  readonly recipes: PackageRecipes;
  readonly planner: Planner;
  readonly uses: Pick<ImageUses, 'releases'>;
  readonly rates: PackageRatesMeasured;
  readonly budget: Pick<BackgroundBudget, 'rest' | 'threads' | 'isHeldBack'>;
  readonly events: EdgeEvents;
}

export function createPackages(deps: Deps): Packages {
  const settled = new Map<Digest, string>();
  const world = (): string => `${deps.planner.revision} ${deps.uses.releases}`;
  const isSettled = (digest: Digest): boolean => settled.get(digest) === world();
  const listeners = new Set<() => void>();
  let active = 0;
  return {
    get active() {
      return active;
    },
    onIdle: (listener) => void listeners.add(listener),
    isSettled,
    async bring(order) {
      const { digest, guest, signal } = order;
      if (guest.os === null || guest.packages.length === 0) return NOTHING;
      if (isSettled(digest)) return NOTHING;
      active += 1;
      try {
        const brought = await bring(deps, order, guest.os);
        deps.events.packagesBrought(digest, brought);
        if (order.goesOn()) settled.set(digest, world());
        return brought;
      } catch (error) {
        if (signal.aborted) throw error;
        deps.events.packagesFailed(digest, error);
        return NOTHING;
      } finally {
        active -= 1;
        if (active === 0) for (const listener of listeners) listener();
      }
    },
  };
}

async function bring(
  deps: Deps,
  order: PackageOrder,
  os: OperatingSystem,
): Promise<PackagesBrought> {
  const { signal } = order;
  const { missingBytes } = await deps.planner.coverage(order.digest, order.recipePath, [], signal);
  if (missingBytes < PACKAGES_MISSING_BYTES_MIN) return NOTHING;
  const limit = within(deps, order, missingBytes);
  const chosen = await choose(deps, order, os, limit);
  return chosen.length === 0 ? NOTHING : await fetchAll(deps, order, chosen, limit);
}

async function fetchAll(
  { images, rates, budget, events }: Deps,
  { digest, isAwaited, onRead, goesOn, signal }: PackageOrder,
  chosen: readonly ResolvedPackage[],
  limitSignal: AbortSignal,
): Promise<PackagesBrought> {
  const atOnce = isAwaited ? PACKAGES_FETCHED_AT_ONCE : budget.threads;
  const limit = pLimit(Math.min(atOnce, PACKAGES_FETCHED_AT_ONCE));
  const startedMs = performance.now();
  let [packages, wireBytes, unpackedBytes] = [0, 0, 0];
  const fetch = async (resolved: ResolvedPackage): Promise<void> => {
    if (limitSignal.aborted || !goesOn()) return;
    let busySeconds = 0;
    const onBusy = (seconds: number): void => {
      busySeconds += seconds;
    };
    const order = { disk: digest, isAwaited, onRead, onBusy, signal: limitSignal };
    try {
      const fetched = await images.fetch(resolved, order);
      packages += 1;
      wireBytes += fetched.wireBytes;
      unpackedBytes += fetched.unpackedBytes;
    } catch (error) {
      if (!limitSignal.aborted) events.packageSkipped(resolved, error);
    }
    if (!isAwaited) await budget.rest(busySeconds, limitSignal);
  };
  await Promise.all(chosen.map((resolved) => limit(() => fetch(resolved))));
  signal.throwIfAborted();
  const seconds = (performance.now() - startedMs) / 1000;
  // What was held back tells nothing of the mirror.
  if (isAwaited || !budget.isHeldBack) rates.observe({ wireBytes, unpackedBytes, seconds });
  return { packages, wireBytes, seconds };
}

/** The order's signal; while somebody waits, it fires also when the holders would have sent the rest. */
function within({ planner }: Deps, order: PackageOrder, missingBytes: number): AbortSignal {
  if (!order.isAwaited) return order.signal;
  const { remoteBytesPerSecond, compressedRatio } = planner.rates(order.digest);
  const remoteMs = (1000 * missingBytes * compressedRatio) / remoteBytesPerSecond;
  return AbortSignal.any([order.signal, AbortSignal.timeout(Math.ceil(remoteMs))]);
}

/** The guest's packages that are worth fetching, the best first. */
async function choose(
  deps: Deps,
  order: PackageOrder,
  os: OperatingSystem,
  signal: AbortSignal,
): Promise<readonly ResolvedPackage[]> {
  const { mirrors, images, recipes, planner, events } = deps;
  const { digest, recipePath, guest } = order;
  const { found, unknown, remarks } = await mirrors.resolve(os, guest.packages, signal);
  const absent: ResolvedPackage[] = [];
  for (const resolved of found) if (!(await images.has(resolved.sha256))) absent.push(resolved);
  const paths = await recipes.find(
    absent.map(({ sha256 }) => sha256),
    signal,
  );
  const known = absent.filter(({ sha256 }) => paths.has(sha256));
  const coverage = await planner.coverage(
    digest,
    recipePath,
    known.map(({ sha256 }) => paths.get(sha256)!),
    signal,
  );
  const covered = new Map(known.map(({ sha256 }, i) => [sha256, coverage.coveredBytes[i]!]));
  const installed = await deps.guests.packages(signal);
  const offers = absent.map((resolved): PackageOffer => {
    const { sha256, sizeBytes, installedBytes } = resolved;
    // What an image here has installed, an image here covers.
    const expected = installed.has(packageKey(resolved)) ? 0 : null;
    return { sha256, sizeBytes, installedBytes, coveredBytes: covered.get(sha256) ?? expected };
  });
  const { remoteBytesPerSecond, compressedRatio } = planner.rates(digest);
  const rates = { remoteBytesPerSecond, compressedRatio, ...deps.rates.now() };
  const costWeight = order.isAwaited ? 1 : AHEAD_COST_WEIGHT;
  const worthwhile = worthwhilePackages(offers, coverage.missingBytes, rates, costWeight);
  events.packagesChosen(digest, {
    found: found.length,
    unknown: unknown.length,
    here: found.length - absent.length,
    chosen: worthwhile.length,
    gainBytes: worthwhile.reduce((sum, { gainBytes }) => sum + Math.round(gainBytes), 0),
    remarks,
  });
  const bySha256 = new Map<string, ResolvedPackage>(
    absent.map((resolved) => [resolved.sha256, resolved]),
  );
  return worthwhile.map(({ offer }) => bySha256.get(offer.sha256)!);
}
