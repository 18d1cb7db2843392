import { describe, expect, it } from 'vitest';
import { addTierBytes, cacheOutcome, NO_TIER_BYTES, totalTierBytes } from './tiers.ts';

describe('bytes by tier', () => {
  it('add up tier by tier and in total', () => {
    const sum = addTierBytes(
      { zero: 1, local: 2, package: 3, peer: 4, origin: 5 },
      { zero: 10, local: 20, package: 30, peer: 40, origin: 50 },
    );
    expect(sum).toEqual({ zero: 11, local: 22, package: 33, peer: 44, origin: 55 });
    expect(totalTierBytes(sum)).toBe(165);
  });

  it.each([
    ['a hit when the origin sent nothing', { zero: 5, local: 9 }, 'hit'],
    ['a hit when there was nothing but zeros to send', { zero: 5 }, 'hit'],
    ['a miss when all but zeros came from the origin', { zero: 5, origin: 9 }, 'miss'],
    ['partial when a peer helped', { peer: 1, origin: 9 }, 'partial'],
    ['partial when a package helped', { package: 1, origin: 9 }, 'partial'],
    ['partial when one local block helped', { local: 4096, origin: 9 }, 'partial'],
  ] as const)('are %s', (_, bytes, outcome) => {
    expect(cacheOutcome({ ...NO_TIER_BYTES, ...bytes })).toBe(outcome);
  });
});
