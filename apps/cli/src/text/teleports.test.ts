import { describe, expect, it } from 'vitest';
import { teleportIn } from '../program.fixture.ts';
import { bootWords, finishedLines, skippedLines } from './teleports.ts';

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

describe('the boot of a lazy VM', () => {
  it('is told by how long reads waited and what came first, and not at all for others', () => {
    expect(bootWords({ stallSeconds: null, trace: null })).toBeNull();
    expect(bootWords({ stallSeconds: 3.25, trace: null })).toBe(
      'boot: reads of the guest waited 3.3 s; nothing of an earlier boot came first',
    );
    const trace = { segments: 1200, bytes: 49_000_000 };
    expect(finishedLines(teleportIn('running', { stallSeconds: 0.4, trace })).join('\n')).toContain(
      'waited 0.4 s; 1,200 segments (49.0 MB of the disk) of an earlier boot came first',
    );
  });

  it('says when what is missing of its disk is nowhere to be had', () => {
    const change = { lazy: true, independentAt: null };
    const words = (errorCode: string | null): string =>
      finishedLines(teleportIn('running', { ...change, errorCode })).join('\n');
    expect(words(null)).toContain('still comes');
    expect(words('withdrawn')).toContain('nowhere to be had');
  });
});
