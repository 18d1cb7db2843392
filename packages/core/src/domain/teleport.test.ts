import { describe, expect, it } from 'vitest';
import {
  isFinal,
  isSettled,
  isStranded,
  mayMove,
  TELEPORT_STATES,
  type TeleportState,
} from './teleport.ts';

describe('the states of a teleport', () => {
  it('never leave a final state (I1)', () => {
    for (const state of TELEPORT_STATES.filter(isFinal)) {
      const elsewhere = TELEPORT_STATES.filter((other) => other !== state);
      expect(elsewhere.filter((other) => mayMove(state, other, true))).toEqual([]);
    }
    expect(TELEPORT_STATES.filter(isFinal)).toEqual(['running', 'failed', 'cancelled']);
  });

  it('may be reported again without effect (I2)', () => {
    for (const state of TELEPORT_STATES) expect(mayMove(state, state, false)).toBe(true);
  });

  it('let a teleport that waits for a source go on, fail or be cancelled (I3)', () => {
    const next = TELEPORT_STATES.filter((to) => to !== 'waiting' && mayMove('waiting', to, false));
    expect(next).toEqual(['syncing', 'failed', 'cancelled']);
  });

  it('never boot what was not verified, but for a lazy VM, whose reads wait for that (I4)', () => {
    const before = (isLazy: boolean): TeleportState[] =>
      TELEPORT_STATES.filter((from) => from !== 'booting' && mayMove(from, 'booting', isLazy));
    expect(before(false)).toEqual(['verified']);
    expect(before(true)).toEqual(['syncing', 'waiting', 'verified']);
  });

  it('are settled when nothing more happens and a running VM needs nobody', () => {
    const independentAt = '2026-01-01T00:00:00Z';
    const fine = { errorCode: null };
    expect(isSettled({ ...fine, state: 'running', independentAt: null })).toBe(false);
    expect(isSettled({ ...fine, state: 'running', independentAt })).toBe(true);
    expect(isSettled({ ...fine, state: 'cancelled', independentAt: null })).toBe(true);
    expect(isSettled({ ...fine, state: 'booting', independentAt: null })).toBe(false);
  });

  it('are settled when nobody has what is missing of a running VM’s disk', () => {
    const stranded = { state: 'running', independentAt: null, errorCode: 'withdrawn' } as const;
    expect(isStranded(stranded)).toBe(true);
    expect(isSettled(stranded)).toBe(true);
    expect(isStranded({ ...stranded, independentAt: '2026-01-01T00:00:00Z' })).toBe(false);
    expect(isStranded({ ...stranded, state: 'booting' })).toBe(false);
    expect(isSettled({ ...stranded, state: 'booting' })).toBe(false);
  });

  it('all lead to a final state', () => {
    const reaches = new Set<TeleportState>(TELEPORT_STATES.filter(isFinal));
    for (let round = 0; round < TELEPORT_STATES.length; round += 1) {
      for (const state of TELEPORT_STATES) {
        if (
          TELEPORT_STATES.some((to) => to !== state && mayMove(state, to, false) && reaches.has(to))
        ) {
          reaches.add(state);
        }
      }
    }
    expect(reaches.size).toBe(TELEPORT_STATES.length);
  });
});
