import { describe, expect, it } from 'vitest';
import type { Description, InstalledPackage } from './description.ts';
import type { Digest } from './digest.ts';
import {
  DEFAULT_FUNCTIONAL_RATES,
  estimateFunctional,
  learnFunctionalRates,
} from './functional-estimate.ts';

const os = {
  id: 'debian',
  versionId: '12',
  prettyName: 'Debian GNU/Linux 12',
  architecture: 'amd64',
} as NonNullable<Description['os']>;
const item = (name: string): InstalledPackage => {
  return { name, version: '1', architecture: 'amd64' } as InstalledPackage;
};
const guest = {
  os,
  packages: ['a', 'b', 'c'].map(item),
  disks: [{}],
} as unknown as Description;
const image = (digit: string, names: readonly string[], versionId = '12') => {
  const packages = names.map(item);
  return { digest: digit.repeat(64) as Digest, os: { ...os, versionId }, packages };
};
const exact = { wireBytes: 50_000_000, estimatedSeconds: 5 };
const rates = { wireShare: 0.8, fixedSeconds: 40, secondsPerPackage: 2 };

describe('what a functional copy would cost', () => {
  it('I1, I3: is that of the image with the fewest packages to change', () => {
    const images = [
      image('1', ['x']),
      image('2', ['a', 'b', 'd']),
      image('3', ['a', 'b', 'c'], '11'),
    ];
    expect(estimateFunctional(guest, images, exact, rates)).toEqual({
      image: images[1]!.digest,
      ...{ installed: 1, removed: 1 },
      wireBytes: 40_000_000,
      estimatedSeconds: 40 + 2 * 2 + 4,
    });
  });

  it('is that of all packages where it would be made from scratch', () => {
    const packages = [...guest.packages, item('linux-image-amd64')];
    const cost = estimateFunctional({ ...guest, packages }, [], exact, rates);
    expect(cost).toMatchObject({ image: null, installed: 4, removed: 0, estimatedSeconds: 52 });
  });

  it('is not told where nothing is of the release, or the guest can’t be copied so', () => {
    expect(estimateFunctional(guest, [image('3', ['a'], '11')], exact, rates)).toBeNull();
    const encrypted = { ...guest, os: null };
    expect(estimateFunctional(encrypted, [image('1', ['a'])], exact, rates)).toBeNull();
  });

  it('I1, I2: is learned from copies that were made, and is never more bytes than exact', () => {
    const sample = {
      ...{ wireBytes: 90_000_000, exact, changedPackages: 10 },
      ...{ applianceSeconds: 65, packageSeconds: 20 },
    };
    let learned = DEFAULT_FUNCTIONAL_RATES;
    for (let copy = 0; copy < 20; copy += 1) learned = learnFunctionalRates(learned, sample);
    expect(learned.wireShare).toBe(1);
    expect(learned.fixedSeconds).toBeCloseTo(65 - 20 - 5, 2);
    expect(learned.secondsPerPackage).toBeCloseTo(2, 2);
  });

  it('I2: a copy that changed no package and fetched nothing says nothing of those', () => {
    const nothing = { wireBytes: 0, estimatedSeconds: 0 };
    const sample = { wireBytes: 0, exact: nothing, changedPackages: 0 };
    const learned = learnFunctionalRates(rates, {
      ...sample,
      ...{ applianceSeconds: 40, packageSeconds: 0 },
    });
    expect(learned).toEqual(rates);
  });
});
