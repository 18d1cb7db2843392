import { describe, expect, it } from 'vitest';
import { readyTime } from './ready-time.ts';

describe('the time of a ready check', () => {
  it('I1: goes on while the guest runs, and stands while its reads wait', () => {
    let [now, held] = [1000, 7];
    const leftMs = readyTime(
      30,
      () => held,
      () => now,
    );
    expect(leftMs()).toBe(30_000);
    now += 10_000;
    expect(leftMs()).toBe(20_000);
    // An hour in which nothing came.
    now += 3_600_000;
    held += 3600;
    expect(leftMs()).toBe(20_000);
    now += 21_000;
    expect(leftMs()).toBe(-1000);
  });
});
