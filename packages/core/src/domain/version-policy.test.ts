import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideVersion, PIN_POLICIES, type VersionFacts } from './version-policy.ts';

const off: VersionFacts = {
  isNewest: true,
  sourceMatches: true,
  teleporting: false,
  ran: false,
  pinIsThere: false,
};
const ran = { ran: true, sourceMatches: false };

describe('decideVersion', () => {
  it.each([
    ['never', {}, 'live', 'none'],
    ['never', { teleporting: true }, 'live', 'none'],
    ['never', { sourceMatches: false, teleporting: true }, 'withdrawn', 'none'],
    ['never', { pinIsThere: true }, 'live', 'remove'],
    ['while-teleporting', {}, 'live', 'none'],
    ['while-teleporting', { teleporting: true }, 'live', 'make'],
    ['while-teleporting', { teleporting: true, pinIsThere: true }, 'pinned', 'keep'],
    [
      'while-teleporting',
      { teleporting: true, pinIsThere: true, sourceMatches: false, isNewest: false },
      'pinned',
      'keep',
    ],
    ['while-teleporting', { pinIsThere: true }, 'live', 'remove'],
    ['while-teleporting', { pinIsThere: true, sourceMatches: false }, 'withdrawn', 'remove'],
    ['while-teleporting', { sourceMatches: false, teleporting: true }, 'withdrawn', 'none'],
    ['always', {}, 'live', 'make'],
    ['always', { pinIsThere: true }, 'pinned', 'keep'],
    ['always', { pinIsThere: true, sourceMatches: false }, 'pinned', 'keep'],
    ['always', { pinIsThere: true, isNewest: false }, 'withdrawn', 'remove'],
    ['always', { pinIsThere: true, isNewest: false, teleporting: true }, 'pinned', 'keep'],
    ['always', { sourceMatches: false }, 'withdrawn', 'none'],
    ['never', { ...ran, pinIsThere: true }, 'pinned', 'keep'],
    ['never', { ...ran, pinIsThere: true, isNewest: false }, 'withdrawn', 'remove'],
    ['never', { ...ran, pinIsThere: true, isNewest: false, teleporting: true }, 'pinned', 'keep'],
    ['while-teleporting', { ...ran, pinIsThere: true }, 'pinned', 'keep'],
    ['always', ran, 'withdrawn', 'none'],
  ] as const)('%s with %j: %s, pin %s', (policy, facts, state, pin) => {
    expect(decideVersion(policy, { ...off, ...facts })).toEqual({ state, pin });
  });

  const facts = fc.record({
    isNewest: fc.boolean(),
    sourceMatches: fc.boolean(),
    teleporting: fc.boolean(),
    ran: fc.boolean(),
    pinIsThere: fc.boolean(),
  });
  it('I1, I2, I3: a version is never served from bytes that may not be its own', () => {
    fc.assert(
      fc.property(fc.constantFrom(...PIN_POLICIES), facts, (policy, given) => {
        const { state, pin } = decideVersion(policy, given);
        if (state === 'pinned') expect(given.pinIsThere && pin === 'keep').toBe(true);
        if (state === 'live') expect(given.isNewest && given.sourceMatches).toBe(true);
        if (pin === 'make') expect(given.sourceMatches && !given.pinIsThere).toBe(true);
        if (given.ran && given.pinIsThere && given.isNewest) expect(state).toBe('pinned');
        if (policy === 'never' && !given.ran) expect(['none', 'remove']).toContain(pin);
      }),
    );
  });
});
