import { createUplinkLimiter } from '@vmdn/core/io/uplink/uplink-limiter.ts';
import { describe, expect, it } from 'vitest';
import { createBackgroundBudget } from './background-budget.ts';

const { signal } = new AbortController();
const unlimited = createUplinkLimiter({ bytesPerSecond: null });

/** Milliseconds that something takes. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

describe('the budget of background work', () => {
  it('I1: lets bytes pass at its rate, all of it together', async () => {
    const limiter = createUplinkLimiter({ bytesPerSecond: 1_000_000 });
    const budget = createBackgroundBudget({ limiter, cpuShare: 1 });
    const spent = (): Promise<unknown> =>
      Promise.all([budget.spend(200_000, signal), budget.spend(100_000, signal)]);
    // 300 kB at 1 MB/s, less the credit of a moment and a piece.
    expect(await timed(spent)).toBeGreaterThan(200);
    expect(budget.isHeldBack).toBe(true);
    const stopped = budget.spend(10_000_000, AbortSignal.abort());
    await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('I2: has as many threads as fit into its share, and no rest when they keep to it', async () => {
    const budget = createBackgroundBudget({ limiter: unlimited, cpuShare: 0.5, processors: 8 });
    expect(budget.threads).toBe(4);
    expect(await timed(() => budget.rest(1000, signal))).toBeLessThan(1000);
    expect(budget.isHeldBack).toBe(false);
  });

  it('I2: rests where even one thread is more than its share', async () => {
    const budget = createBackgroundBudget({ limiter: unlimited, cpuShare: 0.25, processors: 1 });
    expect(budget.threads).toBe(1);
    // A quarter: three times as long as the work.
    expect(await timed(() => budget.rest(0.1, signal))).toBeGreaterThan(290);
    expect(budget.isHeldBack).toBe(true);
  });

  it('I2: ends its rest at once when it is told to', async () => {
    const budget = createBackgroundBudget({ limiter: unlimited, cpuShare: 0.01, processors: 1 });
    await expect(budget.rest(1000, AbortSignal.abort())).rejects.toThrow();
  });
});
