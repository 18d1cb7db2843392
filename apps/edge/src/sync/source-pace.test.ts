import { describe, expect, it } from 'vitest';
import { needsHelp, SourcePace } from './source-pace.ts';

const KIB = 1024;

/** A pace after `seconds` of one request that brings so many KiB each 100 ms. */
function paced(kibPerTenth: number, seconds: number): SourcePace {
  const pace = new SourcePace();
  pace.enter(0);
  for (let ms = 100; ms <= seconds * 1000; ms += 100) pace.came(kibPerTenth * KIB, ms);
  return pace;
}

describe('the pace of a source', () => {
  it('I1: is what came over the time that somebody waited, requests side by side counted once', () => {
    const pace = new SourcePace();
    pace.enter(0);
    pace.enter(0);
    for (let ms = 100; ms <= 10_000; ms += 100) {
      // We keep it waiting for an hour: no time of the source's.
      if (ms === 5000) {
        pace.leave(ms);
        pace.leave(ms);
        pace.enter(ms + 3_600_000);
        pace.enter(ms + 3_600_000);
      }
      pace.came(100 * KIB, ms < 5000 ? ms : ms + 3_600_000);
    }
    expect(pace.bytesPerSecond / KIB).toBeGreaterThan(950);
    expect(pace.bytesPerSecond / KIB).toBeLessThan(1050);
  });

  it('I2: forgets how fast it once was', () => {
    const pace = paced(5000, 10);
    for (let ms = 10_100; ms <= 50_000; ms += 100) pace.came(10 * KIB, ms);
    expect(pace.bytesPerSecond / KIB).toBeLessThan(200);
  });

  it('counts silence as time', () => {
    const pace = paced(100, 5);
    pace.came(0, 60_000);
    expect(pace.bytesPerSecond / KIB).toBeLessThan(1);
  });
});

describe('a peer needs help', () => {
  it('when it brings less than a line of 2 Mbit/s would, for some seconds', () => {
    expect(needsHelp(paced(10, 2), [])).toBe(false);
    expect(needsHelp(paced(10, 4), [])).toBe(true);
    expect(needsHelp(paced(30, 4), [])).toBe(false);
  });

  it('I3: not from an origin that was tried and brings hardly more', () => {
    const slow = paced(10, 4);
    expect(needsHelp(slow, [paced(15, 4)])).toBe(false);
    expect(needsHelp(slow, [paced(15, 4), paced(25, 4)])).toBe(true);
    // What an origin brought within a moment says nothing about it.
    expect(needsHelp(slow, [paced(15, 1)])).toBe(true);
  });
});
