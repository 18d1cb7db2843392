import { describe, expect, it } from 'vitest';
import { AHEAD_SEGMENTS_MAX, AHEAD_STREAMS } from './limits.ts';
import { ReadAhead } from './read-ahead.ts';

/** Reads segments one by one; returns what was fetched ahead. */
function readOn(ahead: ReadAhead, from: number, count: number): [number, number][] {
  const ranges: [number, number][] = [];
  for (let segment = from; segment < from + count; segment += 1) {
    // Several reads of each, as guests do.
    for (let i = 0; i < 4; i += 1) {
      const range = ahead.saw(segment, segment);
      if (range !== null) ranges.push([range.from, range.to]);
    }
  }
  return ranges;
}

describe('reading ahead', () => {
  it('I1: nothing for reads here and there, nor for one step', () => {
    const ahead = new ReadAhead(10_000);
    for (let i = 0; i < 500; i += 1) {
      const segment = (i * 7919) % 10_000;
      expect(ahead.saw(segment, segment)).toBeNull();
    }
    expect(readOn(ahead, 5001, 2)).toEqual([]);
  });

  it('I2, I3: it grows while it is used up, each segment once, up to a bound and the disk', () => {
    const ranges = readOn(new ReadAhead(1000), 100, 900);
    expect(ranges.slice(0, 3)).toEqual([
      [103, 105],
      [105, 108],
      [108, 114],
    ]);
    for (let i = 1; i < ranges.length; i += 1) expect(ranges[i]![0]).toBe(ranges[i - 1]![1]);
    const longest = Math.max(...ranges.map(([from, to]) => to - from));
    expect(longest).toBeGreaterThan(AHEAD_SEGMENTS_MAX / 2);
    expect(longest).toBeLessThanOrEqual(AHEAD_SEGMENTS_MAX);
    expect(ranges.at(-1)![1]).toBe(1000);
  });

  it('I2: it shrinks when streams are left unread, and grows again', () => {
    const ahead = new ReadAhead(1_000_000);
    const far = (ranges: [number, number][]): number => {
      return Math.max(0, ...ranges.map(([from, to]) => to - from));
    };
    // Each goes on until much is fetched, and is left then.
    const begun = Array.from({ length: 40 }, (_, i) => far(readOn(ahead, i * 1000, 4)));
    expect(begun[0]).toBe(3);
    expect(begun.at(-1)).toBe(2);
    expect(far(readOn(ahead, 900_000, 1000))).toBeGreaterThan(AHEAD_SEGMENTS_MAX / 2);
  });

  it('follows several streams at once, whatever reads come between', () => {
    const ahead = new ReadAhead(100_000);
    const streams = Array.from({ length: AHEAD_STREAMS - 1 }, (_, i) => 1000 * (i + 1));
    let fetched = 0;
    for (let step = 0; step < 50; step += 1) {
      for (const start of streams) fetched += readOn(ahead, start + step, 1).length;
      ahead.saw(50_000 + step * 97, 50_000 + step * 97);
    }
    expect(fetched).toBeGreaterThan(streams.length * 3);
  });
});
