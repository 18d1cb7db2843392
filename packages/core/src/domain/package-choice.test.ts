import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AHEAD_COST_WEIGHT,
  type PackageOffer,
  type PackageRates,
  worthwhilePackages,
} from './package-choice.ts';

const MB = 1_000_000;
const RATES: PackageRates = {
  mirrorBytesPerSecond: 50 * MB,
  unpackBytesPerSecond: 200 * MB,
  remoteBytesPerSecond: 10 * MB,
  compressedRatio: 0.4,
};

function offer(words: Partial<PackageOffer> & { readonly sha256: string }): PackageOffer {
  return { sizeBytes: 3 * MB, installedBytes: 10 * MB, coveredBytes: null, ...words };
}

const names = (offers: readonly PackageOffer[], missing: number, rates = RATES): string[] =>
  worthwhilePackages(offers, missing, rates).map((one) => one.offer.sha256);

describe('the choice of packages', () => {
  it('I1: takes what the mirror brings sooner, and leaves what the origin brings sooner', () => {
    const covers = offer({ sha256: 'covers', coveredBytes: 9 * MB });
    const hardly = offer({ sha256: 'hardly', coveredBytes: 0.1 * MB });
    expect(names([hardly, covers], 20 * MB)).toEqual(['covers']);
  });

  it('I1: the same package is left when the mirror is slower than the origin', () => {
    const covers = offer({ sha256: 'covers', coveredBytes: 9 * MB });
    expect(names([covers], 20 * MB, { ...RATES, mirrorBytesPerSecond: 2 * MB })).toEqual([]);
  });

  it('I1: takes one ahead of a request that would not pay while somebody waits', () => {
    const hardly = offer({ sha256: 'hardly', coveredBytes: 0.5 * MB });
    expect(worthwhilePackages([hardly], 20 * MB, RATES)).toEqual([]);
    expect(worthwhilePackages([hardly], 20 * MB, RATES, AHEAD_COST_WEIGHT)).toHaveLength(1);
  });

  it('I2: with nothing missing no unknown package is worth a byte', () => {
    expect(names([offer({ sha256: 'unknown' })], 0)).toEqual([]);
  });

  it('I2: what known packages cover is not expected of unknown ones as well', () => {
    const known = offer({ sha256: 'known', coveredBytes: 10 * MB });
    const unknown = offer({ sha256: 'unknown' });
    expect(names([known, unknown], 10 * MB)).toEqual(['known']);
    expect(names([known, unknown], 20 * MB)).toEqual(['known', 'unknown']);
  });

  it('I2, I3: never expects more than is missing, and sorts by what is spared', () => {
    const offers = fc.array(
      fc.record({
        sha256: fc.uuid(),
        sizeBytes: fc.integer({ min: 0, max: 50 * MB }),
        installedBytes: fc.integer({ min: 0, max: 100 * MB }),
        coveredBytes: fc.constant(null),
      }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(offers, fc.integer({ min: 0, max: 200 * MB }), (list, missing) => {
        const chosen = worthwhilePackages(list, missing, RATES);
        const gains = chosen.reduce((sum, { gainBytes }) => sum + gainBytes, 0);
        expect(gains).toBeLessThanOrEqual(missing + 1);
        const spared = chosen.map(({ sparedSeconds }) => sparedSeconds);
        expect(spared).toEqual([...spared].sort((a, b) => b - a));
        expect(spared.every((seconds) => seconds > 0)).toBe(true);
      }),
    );
  });
});
