import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlanCounts } from './plan.ts';
import { DEFAULT_RATES, estimatePlan, learnRates } from './plan-estimate.ts';

const MB = 1_000_000;
const COUNTS: PlanCounts = {
  zeroBytes: 0,
  localBytes: 3000 * MB,
  packageBytes: 0,
  remoteBytes: 1000 * MB,
  travellingBytes: 500 * MB,
  distinctBytes: 3500 * MB,
};
const RATES = {
  ...DEFAULT_RATES,
  remoteBytesPerSecond: 10 * MB,
  compressedRatio: 0.4,
  diskCompressedRatio: 0.3,
  fixedSeconds: 1,
};
const estimate = (counts: PlanCounts, rates = RATES) =>
  estimatePlan({ counts, candidates: [] }, rates);

describe('the estimate of a plan', () => {
  it('I2: is the slower of link and disk', () => {
    const slowLink = estimate(COUNTS);
    expect(slowLink.wireBytes).toBe(200 * MB);
    expect(slowLink.estimatedSeconds).toBeCloseTo(21);
    const fastLink = estimate(COUNTS, { ...RATES, remoteBytesPerSecond: 1000 * MB });
    expect(fastLink.estimatedSeconds).toBeCloseTo(11);
  });

  it('names the tier that the rest comes from', () => {
    expect(estimate(COUNTS).diskBytes).toMatchObject({ origin: 1000 * MB, peer: 0 });
    const near = estimate(COUNTS, { ...RATES, remoteTier: 'peer' });
    expect(near.diskBytes).toMatchObject({ origin: 0, peer: 1000 * MB });
  });

  it('I3: sets beside it what a plain copy would take: each different block once', () => {
    const { copy } = estimate(COUNTS);
    expect(copy.wireBytes).toBe(1050 * MB);
    expect(copy.estimatedSeconds).toBeCloseTo(106);
  });

  it('I3: never costs more than a plain copy whose blocks compress alike', () => {
    const bytes = fc.integer({ min: 0, max: 1e9 });
    fc.assert(
      fc.property(bytes, bytes, bytes, (localBytes, remoteBytes, extra) => {
        const counts = { ...COUNTS, localBytes, remoteBytes, travellingBytes: remoteBytes };
        const distinctBytes = remoteBytes + extra;
        const rates = { ...RATES, diskCompressedRatio: RATES.compressedRatio };
        const { copy, ...exact } = estimate({ ...counts, distinctBytes }, rates);
        expect(exact.wireBytes).toBeLessThanOrEqual(copy.wireBytes);
        expect(exact.estimatedSeconds).toBeLessThanOrEqual(copy.estimatedSeconds);
      }),
    );
  });
});

describe('rates', () => {
  const sample = {
    wireBytes: 50 * MB,
    remoteBytes: 200 * MB,
    remoteSeconds: 9,
    diskBytes: 900 * MB,
    seconds: 10,
  };
  const many = (one: typeof sample) => {
    let rates = RATES;
    for (let i = 0; i < 20; i += 1) rates = { ...rates, ...learnRates(rates, one) };
    return rates;
  };

  it('come to what deliveries show: the link while it was waited for, and how blocks compress', () => {
    const rates = many(sample);
    expect(rates.remoteBytesPerSecond).toBeCloseTo((50 * MB) / 9, -4);
    expect(rates.compressedRatio).toBeCloseTo(0.25);
  });

  it('take the disk for no slower because the link was', () => {
    expect(many(sample).localBytesPerSecond).toBe(RATES.localBytesPerSecond);
  });

  it('take the disk for as slow as it was where the link was not waited for', () => {
    const rates = many({ ...sample, remoteSeconds: 2 });
    expect(rates.localBytesPerSecond).toBeCloseTo(90 * MB, -4);
    expect(rates.remoteBytesPerSecond).toBeCloseTo(25 * MB, -4);
  });

  it('learn nothing from a few bytes', () => {
    expect(learnRates(RATES, { ...sample, wireBytes: 1000, diskBytes: 1000 })).toEqual(RATES);
  });
});
