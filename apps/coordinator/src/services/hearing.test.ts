import { describe, expect, it } from 'vitest';
import { createHearing } from './hearing.ts';

const TIMING = { heartbeatSeconds: 5, silenceSeconds: 16, leaseSeconds: 30 };
/** 40 s until a living node has called, and its silence. */
const GRACE = 56;

/** A store whose clock the test sets; `heard` is when any node was heard of last. */
function testHearing(timing = TIMING) {
  const world = { now: 10_000, heard: null as number | null, isAway: false };
  const extended: number[] = [];
  const hearing = createHearing(
    {
      clock() {
        if (world.isAway) return Promise.reject(new Error('the database is away'));
        return Promise.resolve({ nowSeconds: world.now, heardSeconds: world.heard });
      },
      extendLeases(seconds) {
        extended.push(seconds);
        return Promise.resolve();
      },
    },
    timing,
    () => world.now * 1000,
  );
  return { world, extended, hearing };
}

describe('hearing', () => {
  it('I1: leases are extended at the start, and not while nodes can be heard', async () => {
    const { world, extended, hearing } = testHearing();
    await hearing.look();
    expect(extended).toEqual([GRACE]);
    for (let pass = 0; pass < 20; pass += 1) {
      world.now += 5;
      await hearing.look();
    }
    expect(extended).toEqual([GRACE]);
  });

  it('I1: a lease that is longer than that begins anew', async () => {
    const { extended, hearing } = testHearing({ ...TIMING, leaseSeconds: 3600 });
    await hearing.look();
    expect(extended).toEqual([3600]);
  });

  it('I1, I3: leases are extended when the database is back, before anybody is judged', async () => {
    const { world, extended, hearing } = testHearing();
    await hearing.look();
    world.now += 5;
    world.isAway = true;
    await expect(hearing.look()).rejects.toThrow('away');
    world.now += 5;
    await expect(hearing.look()).rejects.toThrow('away');
    expect(extended).toHaveLength(1);
    world.isAway = false;
    await hearing.look();
    expect(extended).toEqual([GRACE, GRACE]);
    await hearing.look();
    expect(extended).toHaveLength(2);
  });

  it('I1: a coordinator that stood still is one that did not listen', async () => {
    const { world, extended, hearing } = testHearing();
    await hearing.look();
    world.now += TIMING.silenceSeconds + 1;
    await hearing.look();
    expect(extended).toEqual([GRACE, GRACE]);
  });

  it('I1: one that was slow to look has listened when a node was heard of meanwhile', async () => {
    const { world, extended, hearing } = testHearing();
    await hearing.look();
    world.now += 10 * TIMING.silenceSeconds;
    world.heard = world.now - TIMING.silenceSeconds;
    await hearing.look();
    expect(extended).toEqual([GRACE]);
    expect(hearing.patienceSeconds()).toBe(TIMING.silenceSeconds);
  });

  it('I2: who was heard of until nobody was is counted on for a while, and nobody else', async () => {
    const { world, hearing } = testHearing();
    world.heard = world.now - 3600;
    await hearing.look();
    for (const passed of [0, 30, GRACE - 30]) {
      world.now += passed;
      const silent = world.now - world.heard;
      expect(silent).toBeLessThan(hearing.patienceSeconds());
      expect(silent + TIMING.silenceSeconds).toBeGreaterThanOrEqual(hearing.patienceSeconds());
    }
    world.now += 1;
    expect(hearing.patienceSeconds()).toBe(TIMING.silenceSeconds);
  });

  it('I2: a second such time soon after the first does not end what the first one excuses', async () => {
    const { world, hearing } = testHearing();
    world.heard = world.now - 3600;
    await hearing.look();
    world.now += 25;
    await hearing.look();
    expect(hearing.patienceSeconds()).toBe(TIMING.silenceSeconds + 3625);
  });

  it('I2: where nodes are heard of, by others too, nobody is excused', async () => {
    const { world, hearing } = testHearing();
    world.heard = world.now - 4;
    await hearing.look();
    expect(hearing.patienceSeconds()).toBe(TIMING.silenceSeconds);
  });

  it('I2: a network of which nobody was ever heard excuses nobody', async () => {
    const { hearing } = testHearing();
    await hearing.look();
    expect(hearing.patienceSeconds()).toBe(TIMING.silenceSeconds);
  });
});
