import { describe, expect, it } from 'vitest';
import { clockOffsetMs, parseTurns, pausesOf } from './pause-figures.ts';

/** A guest whose turns take 50 ms, for two minutes; the one at `at` took `ms`. */
function turns(at: number, ms: number) {
  return Array.from({ length: 2400 }, (_, i) => ({
    endMs: i * 50,
    longestMs: i === at ? ms : 5 + (i % 3),
  }));
}

describe('the pause at a switch', () => {
  it('I1: is the longest turn around it, beside what other windows show', () => {
    const figures = pausesOf(turns(1000, 80), 50_500);
    expect(figures).toMatchObject({ switchMs: 80, noiseMs: 7, noiseMaxMs: 7 });
    expect(figures.windows).toBeGreaterThan(20);
  });

  it('I1: is not found in what happened elsewhere', () => {
    expect(pausesOf(turns(1000, 80), 80_000)).toMatchObject({ switchMs: 7, noiseMaxMs: 80 });
  });

  it('is no figure where the guest noted nothing', () => {
    expect(() => pausesOf([], 1000)).toThrow(RangeError);
    expect(() => pausesOf(turns(1000, 80), 500_000)).toThrow(RangeError);
  });

  it('is read off whole lines', () => {
    expect(parseTurns('12.50 1 2\n12.60 30 10\n12.70 0 0')).toEqual([
      { endMs: 12_500, longestMs: 20 },
      { endMs: 12_600, longestMs: 300 },
    ]);
  });

  it('is no figure where a line is none', () => {
    expect(() => parseTurns('12.50 1\n')).toThrow(RangeError);
    expect(() => parseTurns('12.50  \n')).toThrow(RangeError);
  });

  it('finds the guest clock by the page that came soonest after a turn', () => {
    const pages = [
      { atMs: 1_000_900, text: '1.00 1 1\n' },
      { atMs: 1_002_050, text: '2.00 1 1\n' },
    ];
    expect(clockOffsetMs(pages)).toBe(999_900);
  });
});
