import { describe, expect, it } from 'vitest';
import { nextCompressionLevel } from './compression-level.ts';

/** Compressing takes so many times as long as at level 1 (docs/adr/0006). */
const COST: Readonly<Record<number, number>> = { 1: 1, 3: 2.2, 6: 5 };

const FAST = 100e6;

/** Levels that follow each other where level 1 would take `share` of the time, at most all of it. */
function follow(share: number, from: number, bytesPerSecond = FAST): number[] {
  const levels = [from];
  for (let i = 0; i < 8; i += 1) {
    const level = levels.at(-1)!;
    levels.push(
      nextCompressionLevel(level, { share: Math.min(1, share * COST[level]!), bytesPerSecond }),
    );
  }
  return levels;
}

describe('the level of compression', () => {
  it('rises one by one where the link is what all wait for', () => {
    expect(follow(0.07, 1)).toEqual([1, 3, 6, 6, 6, 6, 6, 6, 6]);
  });

  it('falls one by one where the processor is what all wait for', () => {
    expect(follow(3, 6)).toEqual([6, 3, 1, 1, 1, 1, 1, 1, 1]);
  });

  it('I3: falls no further than 3 where the link is slow', () => {
    expect(follow(3, 6, 10e6)).toEqual([6, 3, 3, 3, 3, 3, 3, 3, 3]);
    expect(follow(3, 1, 10e6).at(-1)).toBe(3);
  });

  it('I1: comes to rest under any steady load, wherever it began', () => {
    for (let percent = 1; percent < 300; percent += 1) {
      for (const from of [1, 3, 6]) {
        const levels = follow(percent / 100, from);
        expect(levels.at(-1), `${percent} %, from ${from}`).toBe(levels.at(-2));
      }
    }
  });

  it('I2: stays where nothing was compressed', () => {
    expect(nextCompressionLevel(3, { share: 0, bytesPerSecond: FAST })).toBe(3);
  });
});
