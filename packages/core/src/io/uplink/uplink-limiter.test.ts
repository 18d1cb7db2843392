import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createUplinkLimiter, type LimiterClock } from './uplink-limiter.ts';

/** A clock that moves only when told to; timers fire in order. */
function manualClock(): LimiterClock & { advance(ms: number): Promise<void> } {
  let now = 0;
  let timers: { at: number; wake: () => void }[] = [];
  return {
    now: () => now,
    later: (delayMs, wake) => {
      timers.push({ at: now + delayMs, wake });
    },
    async advance(ms) {
      const end = now + ms;
      for (;;) {
        await settle();
        const next = timers.toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined || next.at > end) break;
        timers = timers.filter((timer) => timer !== next);
        now = next.at;
        next.wake();
      }
      now = end;
      await settle();
    },
  };
}

/** Lets everything run that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

const KIB = 1024;

describe('an uplink limiter', () => {
  it('lets everything pass and counts it when there is no limit', async () => {
    const limiter = createUplinkLimiter({ bytesPerSecond: null });
    const stream = limiter.openStream();
    await stream.take(10 ** 9);
    await stream.take(7);
    expect(limiter.passedBytes).toBe(10 ** 9 + 7);
    expect(limiter.limitBytesPerSecond).toBeNull();
  });

  it('I1: over any stretch of time no more than the rate, a burst and a piece leave', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 50 * KIB, max: 4096 * KIB }),
        fc.array(fc.integer({ min: 1, max: 400 * KIB }), { minLength: 1, maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 30 }),
        async (rate, takes, steps) => {
          const clock = manualClock();
          const limiter = createUplinkLimiter({ bytesPerSecond: rate, clock });
          const streams = [limiter.openStream(), limiter.openStream()];
          for (const [i, bytes] of takes.entries()) void streams[i % 2]!.take(bytes);
          let start = 0;
          for (const step of steps) {
            await clock.advance(step);
            const most = (rate * step) / 1000 + rate * 0.05 + 16 * KIB;
            expect(limiter.passedBytes - start).toBeLessThanOrEqual(most + 1);
            start = limiter.passedBytes;
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('I1: time that passed unused is not made up for with a burst', async () => {
    const clock = manualClock();
    const limiter = createUplinkLimiter({ bytesPerSecond: 1_000_000, clock });
    await clock.advance(60_000);
    void limiter.openStream().take(10_000_000);
    await clock.advance(1);
    expect(limiter.passedBytes).toBeLessThanOrEqual(1_000_000 * 0.051 + 16 * KIB);
  });

  it('I1: keeps to the rate over a long time: neither faster nor slower', async () => {
    const clock = manualClock();
    const limiter = createUplinkLimiter({ bytesPerSecond: 1_000_000, clock });
    void limiter.openStream().take(100_000_000);
    await clock.advance(10_000);
    expect(limiter.passedBytes).toBeGreaterThan(9_900_000);
    expect(limiter.passedBytes).toBeLessThan(10_100_000);
  });

  it('I2: streams take turns, whatever each asks for', async () => {
    const clock = manualClock();
    const limiter = createUplinkLimiter({ bytesPerSecond: 100 * KIB, clock });
    const passed = [0, 0, 0];
    const pump = async (i: number): Promise<void> => {
      const stream = limiter.openStream();
      for (;;) {
        await stream.take(16 * KIB);
        passed[i]! += 16 * KIB;
      }
    };
    // One that asks for everything at once, and three that ask piece by piece.
    void limiter.openStream().take(100_000 * KIB);
    for (const i of passed.keys()) void pump(i);
    await clock.advance(60_000);
    for (const bytes of passed) {
      expect(bytes / (60 * 100 * KIB)).toBeGreaterThan(0.24);
      expect(bytes / (60 * 100 * KIB)).toBeLessThan(0.26);
    }
  });

  it('I3: does not count a take that was cancelled while it waited, nor let it hold up others', async () => {
    const clock = manualClock();
    const limiter = createUplinkLimiter({ bytesPerSecond: 10 * KIB, clock });
    await limiter.openStream().take(16 * KIB);
    const abort = new AbortController();
    const cancelled = limiter.openStream().take(16 * KIB, abort.signal);
    const other = limiter.openStream().take(KIB);
    abort.abort();
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    await clock.advance(3_000);
    await other;
    expect(limiter.passedBytes).toBe(17 * KIB);
    await expect(limiter.openStream().take(1, abort.signal)).rejects.toMatchObject({
      code: 'cancelled',
    });
  });

  it('refuses a limit that would let nothing pass', () => {
    for (const bytesPerSecond of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => createUplinkLimiter({ bytesPerSecond })).toThrow(/at least 1 byte/);
    }
  });
});
