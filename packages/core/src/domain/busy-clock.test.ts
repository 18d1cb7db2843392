import { describe, expect, it } from 'vitest';
import { BusyClock } from './busy-clock.ts';

describe('a busy clock', () => {
  it('I1: counts overlapping times once, and no pause', () => {
    const clock = new BusyClock();
    clock.enter(1000);
    clock.enter(2000);
    clock.leave(3000);
    expect(clock.seconds(3500)).toBe(2.5);
    clock.leave(4000);
    clock.enter(9000);
    clock.leave(9500);
    expect(clock.seconds(20_000)).toBe(3.5);
  });
});
