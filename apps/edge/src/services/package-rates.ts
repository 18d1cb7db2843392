/**
 * Room: edge, services. How fast packages come from mirrors and are unpacked, as measured.
 *
 * I1: fetching and unpacking overlap, so that one time stands for both: neither rate is overstated.
 */

import type { PackageRates } from '@vmdn/core/domain/package-choice.ts';
import { MIRROR_BYTES_PER_SECOND, UNPACK_BYTES_PER_SECOND } from '../limits.ts';

type Rates = Pick<PackageRates, 'mirrorBytesPerSecond' | 'unpackBytesPerSecond'>;

/** One batch of packages, fetched side by side. */
interface PackageSample {
  readonly wireBytes: number;
  readonly unpackedBytes: number;
  readonly seconds: number;
}

export interface PackageRatesMeasured {
  /** Assumed until something was measured. */
  now(): Rates;
  observe(sample: PackageSample): void;
}

/** Less tells how long a request takes, not how fast the mirror is. */
const SAMPLE_BYTES_MIN = 1024 * 1024;
/** Weight of a new sample, as of the link's. */
const SAMPLE_WEIGHT = 0.5;

export function measurePackageRates(): PackageRatesMeasured {
  let rates: Rates = {
    mirrorBytesPerSecond: MIRROR_BYTES_PER_SECOND,
    unpackBytesPerSecond: UNPACK_BYTES_PER_SECOND,
  };
  const blend = (before: number, now: number): number => before + (now - before) * SAMPLE_WEIGHT;
  return {
    now: () => rates,
    observe({ wireBytes, unpackedBytes, seconds }) {
      if (wireBytes < SAMPLE_BYTES_MIN || seconds <= 0) return;
      rates = {
        mirrorBytesPerSecond: blend(rates.mirrorBytesPerSecond, wireBytes / seconds),
        unpackBytesPerSecond: blend(rates.unpackBytesPerSecond, unpackedBytes / seconds),
      };
    },
  };
}
