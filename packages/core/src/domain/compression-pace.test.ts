import { describe, expect, it } from 'vitest';
import { type BodyPace, CompressionPace } from './compression-pace.ts';

const MIB = 1024 * 1024;

function levelAfter(...bodies: readonly BodyPace[]): number {
  const pace = new CompressionPace([1, 3, 6], 3);
  for (const body of bodies) pace.observe(body);
  return pace.level;
}

const slowLink = { bytes: MIB, madeMs: 5, sentMs: 95 };
const fastLink = { bytes: MIB, madeMs: 8, sentMs: 2 };

describe('the level of compression', () => {
  it('rises while the link is waited for, and falls while the compressor is', () => {
    expect(levelAfter()).toBe(3);
    expect(levelAfter(slowLink)).toBe(6);
    expect(levelAfter(fastLink)).toBe(1);
    expect(levelAfter(slowLink, fastLink)).toBe(3);
  });

  it('ends at the last level on either side', () => {
    expect(levelAfter(slowLink, slowLink, slowLink)).toBe(6);
    expect(levelAfter(fastLink, fastLink, fastLink)).toBe(1);
  });

  it('I1: stays where neither is clearly waited for', () => {
    expect(levelAfter({ bytes: MIB, madeMs: 4, sentMs: 6 })).toBe(3);
    expect(levelAfter({ bytes: MIB, madeMs: 25, sentMs: 75 })).toBe(3);
  });

  it('I2: takes short bodies together', () => {
    const short = { bytes: MIB / 4, madeMs: 1, sentMs: 20 };
    expect(levelAfter(short, short, short)).toBe(3);
    expect(levelAfter(short, short, short, short)).toBe(6);
  });

  it('begins with a level that there is', () => {
    expect(() => new CompressionPace([1, 3], 2)).toThrow(RangeError);
  });
});
