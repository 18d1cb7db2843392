import { describe, expect, it } from 'vitest';
import {
  decideFence,
  FENCE_STATES,
  type FenceEvent,
  fenceAfter,
  mayBoot,
  wantedOfOrigin,
} from './fence.ts';
import type { Id } from './names.ts';

const EVENTS: readonly FenceEvent[] = [
  ...(['ask', 'gone'] as const),
  ...(['fenced', 'refused', 'released', 'forced'] as const),
];
const [MINE, OTHER] = ['one' as Id, 'other' as Id];

describe('the fence of a move', () => {
  it('lets the VM boot only while it is held for the very epoch that asks (I1)', () => {
    const may = FENCE_STATES.filter((state) => mayBoot({ state, epoch: 2 }, 2));
    expect(may).toEqual(['held']);
    for (const epoch of [1, 3]) expect(mayBoot({ state: 'held', epoch: 2 }, epoch)).toBe(false);
    expect(mayBoot({ state: 'held', epoch: null }, 1)).toBe(false);
  });

  it('is held by the origin’s own word, and by no other (I1)', () => {
    for (const state of FENCE_STATES.filter((one) => one !== 'held')) {
      const leads = EVENTS.filter((event) => fenceAfter(state, event) === 'held');
      expect(leads, state).toEqual(state === 'wanted' ? ['fenced'] : []);
    }
  });

  it('goes only when there is no VM elsewhere, or by the operator’s word (I2)', () => {
    for (const state of ['wanted', 'held'] as const) {
      const stays = EVENTS.filter((event) => wantedOfOrigin(fenceAfter(state, event)) === 'fenced');
      expect(stays).toEqual(EVENTS.filter((event) => event !== 'gone' && event !== 'forced'));
      expect(wantedOfOrigin(fenceAfter(state, 'gone'))).toBe('released');
    }
    expect(EVENTS.filter((event) => fenceAfter('unwanted', event) === 'over')).toEqual([
      'released',
    ]);
  });

  it('is over at once when nobody was asked for it', () => {
    expect(fenceAfter('idle', 'gone')).toBe('over');
  });

  it('never comes back once it is over or forced', () => {
    for (const state of ['over', 'forced'] as const) {
      expect(EVENTS.map((event) => fenceAfter(state, event))).toEqual(EVENTS.map(() => state));
      expect(wantedOfOrigin(state)).toBeNull();
    }
  });
});

describe('an origin that is asked', () => {
  const fence = { teleport: MINE, epoch: 2, want: 'fenced' } as const;
  const release = { ...fence, want: 'released' } as const;
  const held = (teleport: Id, epoch: number) => ({ teleport, epoch, state: 'fenced' as const });
  const forced = (teleport: Id) => ({ teleport, epoch: 2, state: 'forced' as const });

  it('fences what is not fenced, and raises the epoch of what is (I3)', () => {
    expect(decideFence(fence, null)).toBe('fence');
    expect(decideFence(fence, held(MINE, 1))).toBe('raise');
    expect(decideFence(fence, held(MINE, 2))).toBe('keep');
    expect(decideFence(fence, forced(OTHER))).toBe('fence');
  });

  it('refuses an epoch below the one that it holds, to fence and to release (I3)', () => {
    expect(decideFence(fence, held(MINE, 3))).toEqual({ refuse: 'stale_epoch' });
    expect(decideFence(release, held(MINE, 3))).toEqual({ refuse: 'stale_epoch' });
  });

  it('releases only what this move has fenced (I3)', () => {
    expect(decideFence(release, held(MINE, 2))).toBe('release');
    expect(decideFence(release, held(MINE, 1))).toBe('release');
    for (const nothing of [null, held(OTHER, 1), forced(MINE)]) {
      expect(decideFence(release, nothing)).toBe('released');
    }
  });

  it('fences for no second move, and not again what its operator took back (I3)', () => {
    expect(decideFence(fence, held(OTHER, 1))).toEqual({ refuse: 'conflict' });
    expect(decideFence(fence, forced(MINE))).toEqual({ refuse: 'forced' });
    expect(decideFence({ ...fence, epoch: 9 }, forced(MINE))).toEqual({ refuse: 'forced' });
  });
});
