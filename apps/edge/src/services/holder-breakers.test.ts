import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createEdgeEvents } from '../events.ts';
import { BREAKER_PAUSE_MAX_MS, BREAKER_PAUSE_MIN_MS, LIAR_PAUSE_MS } from '../limits.ts';
import { createHolderBreakers, type HolderBreakers } from './holder-breakers.ts';
import type { DiskHolder } from './remote-sources.ts';

const PEER: DiskHolder = {
  tier: 'peer',
  node: '018f0000-0000-7000-8000-000000000001' as Id,
  name: 'edge near',
  url: 'http://127.0.0.1:9',
  isPartial: false,
};
const ORIGIN: DiskHolder = { ...PEER, tier: 'origin', node: 'o' as Id, name: 'origin far' };
const BOTH = [PEER, ORIGIN];

let breakers: HolderBreakers;

beforeEach(() => {
  vi.useFakeTimers();
  breakers = createHolderBreakers({
    events: createEdgeEvents(createLogger('test', { level: 'silent' })),
  });
});
afterEach(() => void vi.useRealTimers());

/** Asks once; says whether the holder was asked at all, and what came of it. */
async function ask(holder: DiskHolder, outcome?: 'timeout' | 'busy', among = BOTH) {
  let asked = false;
  const code = await breakers
    .among(among)
    .guard(holder, async () => {
      asked = true;
      if (outcome !== undefined) throw new VmdnError(outcome, 'for the test');
    })
    .then(
      () => 'ok',
      (error: VmdnError) => error.code,
    );
  return { asked, code };
}

describe('a neighbour that stands still', () => {
  it('I1: is not asked again in other deliveries, until a pause is over and it answers', async () => {
    for (let i = 0; i < 2; i += 1)
      expect(await ask(PEER, 'timeout')).toMatchObject({ asked: true });
    expect(await ask(PEER)).toEqual({ asked: false, code: 'unavailable' });
    expect(breakers.among(BOTH).isDoubtful(PEER)).toBe(true);
    vi.advanceTimersByTime(BREAKER_PAUSE_MIN_MS * 2);
    expect(await ask(PEER)).toEqual({ asked: true, code: 'ok' });
    expect(breakers.among(BOTH).isDoubtful(PEER)).toBe(false);
  });

  it('I1: is asked once in each pause while it stays away, and the pauses have an end', async () => {
    for (let i = 0; i < 12; i += 1) {
      await ask(PEER, 'timeout');
      await ask(PEER, 'timeout');
      vi.advanceTimersByTime(BREAKER_PAUSE_MAX_MS);
    }
    expect(breakers.faults()).toEqual([{ holder: 'edge near', code: 'timeout', count: 13 }]);
    expect(await ask(PEER)).toEqual({ asked: true, code: 'ok' });
  });

  it('is not one that is merely busy', async () => {
    for (let i = 0; i < 5; i += 1) expect(await ask(PEER, 'busy')).toMatchObject({ asked: true });
    expect(breakers.faults()).toEqual([]);
  });

  it('I3: is asked all the same while nobody else has the disk', async () => {
    for (let i = 0; i < 5; i += 1) await ask(PEER, 'timeout');
    expect(await ask(PEER, undefined, [PEER])).toEqual({ asked: true, code: 'ok' });
    expect(breakers.among([PEER]).isDoubtful(PEER)).toBe(false);
  });
});

describe('a holder that brings wrong bytes', () => {
  it('I2: is set aside at the second time, for longer than one that is away', async () => {
    const { note } = breakers.among(BOTH);
    note(PEER, 'corrupt');
    expect(await ask(PEER)).toMatchObject({ asked: true });
    note(PEER, 'corrupt');
    vi.advanceTimersByTime(LIAR_PAUSE_MS - 1);
    expect(await ask(PEER)).toMatchObject({ asked: false });
    vi.advanceTimersByTime(1);
    expect(await ask(PEER)).toMatchObject({ asked: true });
    expect(breakers.faults()).toEqual([{ holder: 'edge near', code: 'corrupt', count: 2 }]);
  });

  it('I3: is asked for ever when it is an origin, and counted', async () => {
    for (let i = 0; i < 5; i += 1) breakers.among(BOTH).note(ORIGIN, 'corrupt');
    for (let i = 0; i < 5; i += 1)
      expect(await ask(ORIGIN, 'timeout')).toMatchObject({ asked: true });
    expect(breakers.faults()).toEqual([
      { holder: 'origin far', code: 'corrupt', count: 5 },
      { holder: 'origin far', code: 'timeout', count: 5 },
    ]);
  });
});
