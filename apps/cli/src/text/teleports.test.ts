import { describe, expect, it } from 'vitest';
import { skippedLines } from './teleports.ts';

const kept = ['volume 2: XFS is not understood', 'volume 3: FAT is not understood'];

describe('a teleport without free space', () => {
  it('says what stays home and what was kept whole, or that there is nothing to skip and why', () => {
    const line = (skippedBytes: number, why: string[]): string =>
      skippedLines({ skippedBytes, kept: why }).join('\n');
    expect(skippedLines(null)).toEqual([]);
    expect(line(42_000_000, [])).toBe('skip-free: 42.0 MB of free space stay home');
    expect(line(42_000_000, kept)).toBe(
      `skip-free: 42.0 MB of free space stay home; kept whole: ${kept.join('; ')}`,
    );
    expect(line(0, kept)).toBe(`skip-free: nothing to skip: ${kept.join('; ')}`);
    expect(line(0, [])).toBe('skip-free: nothing to skip: what is free is zero already');
  });
});
