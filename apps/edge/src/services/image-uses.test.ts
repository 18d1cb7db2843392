import type { Digest } from '@vmdn/core/domain/digest.ts';
import { describe, expect, it } from 'vitest';
import { createImageUses } from './image-uses.ts';

const digest = (letter: string): Digest => letter.repeat(64) as Digest;
const [ONE, TWO, LIBC, PERL] = ['1', '2', 'c', 'e'].map(digest) as [Digest, Digest, Digest, Digest];

describe('uses of package images', () => {
  it('I1: are those of the newest plan of each disk', () => {
    const uses = createImageUses();
    uses.planned(ONE, new Set([LIBC, PERL]));
    uses.planned(TWO, new Set([LIBC]));
    uses.planned(ONE, new Set());
    expect([LIBC, PERL].map(uses.isInUse)).toEqual([true, false]);
    expect(uses.lastUse(LIBC)).toBeGreaterThan(uses.lastUse(PERL));
    expect(uses.lastUse(digest('f'))).toBe(0);
  });

  it('I1: begin when an image comes for a disk, and end when its next plan does without it', () => {
    const uses = createImageUses();
    uses.brought(ONE, LIBC);
    uses.brought(ONE, PERL);
    expect([LIBC, PERL].map(uses.isInUse)).toEqual([true, true]);
    uses.planned(ONE, new Set([PERL]));
    expect([LIBC, PERL].map(uses.isInUse)).toEqual([false, true]);
  });

  it('I1: last as long as a sync, whatever is planned meanwhile', () => {
    const uses = createImageUses();
    uses.planned(ONE, new Set([LIBC]));
    {
      using _plan = uses.holdPlan(ONE);
      using _more = uses.hold([PERL]);
      uses.planned(ONE, new Set());
      expect([LIBC, PERL].map(uses.isInUse)).toEqual([true, true]);
    }
    expect([LIBC, PERL].map(uses.isInUse)).toEqual([false, false]);
  });

  it('I2: end with the offer of the disk, unless it is being delivered', () => {
    const uses = createImageUses();
    uses.planned(ONE, new Set([LIBC]));
    uses.planned(TWO, new Set([PERL]));
    const before = uses.releases;
    {
      using _delivered = uses.deliver(TWO);
      uses.keepOnly(new Set());
      expect([LIBC, PERL].map(uses.isInUse)).toEqual([false, true]);
    }
    uses.keepOnly(new Set());
    expect(uses.isInUse(PERL)).toBe(false);
    expect(uses.releases).toBe(before + 2);
    uses.keepOnly(new Set());
    expect(uses.releases).toBe(before + 2);
  });
});
