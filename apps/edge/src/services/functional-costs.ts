/**
 * Room: edge, services. What functional copies would cost on this edge, told before anybody asks, and learned
 * from those that are made.
 *
 * I1: only a hint for who chooses a method; a copy that is asked for does not depend on it.
 * I2: what is remembered of disks is bounded; those that were estimated longest ago are forgotten first.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import {
  DEFAULT_FUNCTIONAL_RATES,
  estimateFunctional,
  type FunctionalCost,
  type FunctionalRates,
  type FunctionalSample,
  learnFunctionalRates,
} from '@vmdn/core/domain/functional-estimate.ts';
import type { MethodCost } from '@vmdn/core/domain/plan-estimate.ts';
import { EXACT_COSTS_MAX } from '../limits.ts';
import type { KnownGuests } from './known-guests.ts';

export interface FunctionalCosts {
  /** Beside what an exact delivery costs; null where none can be made. Throws `cancelled`. */
  estimate(
    guest: Description,
    exact: MethodCost,
    signal: AbortSignal,
  ): Promise<FunctionalCost | null>;
  /** Learns from a copy; without an estimate of the exact delivery of its disk there is nothing to learn. */
  observe(source: Digest, sample: Omit<FunctionalSample, 'exact'>): void;
  /** Changes whenever an estimate made before may be out of date. */
  readonly revision: number;
}

export function createFunctionalCosts(deps: {
  readonly guests: Pick<KnownGuests, 'images'>;
}): FunctionalCosts {
  let rates: FunctionalRates = DEFAULT_FUNCTIONAL_RATES;
  let revision = 0;
  /** By the digest of the disk, in the order in which they were estimated. */
  const exactCosts = new Map<Digest, MethodCost>();
  return {
    get revision() {
      return revision;
    },
    async estimate(guest, exact, signal) {
      for (const { digest } of guest.disks) {
        exactCosts.delete(digest);
        exactCosts.set(digest, exact);
      }
      for (const oldest of exactCosts.keys()) {
        if (exactCosts.size <= EXACT_COSTS_MAX) break;
        exactCosts.delete(oldest);
      }
      const known = await deps.guests.images(signal);
      const images = known.map(({ image, ...found }) => ({ ...found, digest: image.digest }));
      return estimateFunctional(guest, images, exact, rates);
    },
    observe(source, sample) {
      const exact = exactCosts.get(source);
      if (exact === undefined) return;
      rates = learnFunctionalRates(rates, { ...sample, exact });
      revision += 1;
    },
  };
}
