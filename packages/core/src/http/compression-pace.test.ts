import { describe, expect, it } from 'vitest';
import { CompressionPace } from './compression-pace.ts';

/** A stream is asked for each 100 ms; compressing runs for the first `busyMs` of them. */
function ask(pace: CompressionPace, fromMs: number, busyMs: number, times: number): number[] {
  return Array.from({ length: times }, (_, i) => {
    const nowMs = fromMs + i * 100;
    const level = pace.levelOfNext(nowMs);
    pace.sentBytes += 10_000_000;
    if (busyMs > 0) {
      pace.clock.enter(nowMs);
      pace.clock.leave(nowMs + busyMs);
    }
    return level;
  });
}

describe('the pace of compression', () => {
  it('decides by the share of time in which anything was compressed, twice a second', () => {
    const pace = new CompressionPace(3);
    expect(ask(pace, 0, 10, 12)).toEqual([3, 3, 3, 3, 3, 6, 6, 6, 6, 6, 6, 6]);
    // The first window is half of the other kind.
    expect(ask(pace, 1200, 98, 15)).toEqual([...Array(8).fill(6), ...Array(5).fill(3), 1, 1]);
  });

  it('keeps its level while nothing that it sends compresses', () => {
    expect(new Set(ask(new CompressionPace(3), 0, 0, 30))).toEqual(new Set([3]));
  });

  it('I2: begins anew when nobody has asked for a while', () => {
    const pace = new CompressionPace(3);
    ask(pace, 0, 10, 12);
    expect(pace.levelOfNext(3000)).toBe(6);
    expect(pace.levelOfNext(5001)).toBe(3);
    // What was before counts no more: the window is new.
    expect(pace.levelOfNext(5400)).toBe(3);
  });
});
