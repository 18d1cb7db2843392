import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { expect, it } from 'vitest';
import { EXACT_COSTS_MAX } from '../limits.ts';
import { createFunctionalCosts } from './functional-costs.ts';

const sample = { wireBytes: 5, changedPackages: 1, applianceSeconds: 60, packageSeconds: 20 };
const exact = { wireBytes: 10, estimatedSeconds: 1 };
const { signal } = new AbortController();
const guestOf = (digest: string) =>
  ({ os: null, packages: [], disks: [{ digest }] }) as unknown as Description;

it('learns from copies of disks that it estimated, and I2: forgets the oldest of too many', async () => {
  const costs = createFunctionalCosts({ guests: { images: async () => [] } });
  costs.observe('never' as Digest, sample);
  expect(costs.revision).toBe(0);
  for (let disk = 0; disk <= EXACT_COSTS_MAX; disk += 1) {
    await costs.estimate(guestOf(`disk-${disk}`), exact, signal);
  }
  costs.observe('disk-0' as Digest, sample);
  expect(costs.revision).toBe(0);
  costs.observe('disk-1' as Digest, sample);
  expect(costs.revision).toBe(1);
});
