import { describe, expect, it } from 'vitest';
import { isFinal, mayMove, TELEPORT_STATES, type TeleportState } from './teleport.ts';

describe('the states of a teleport', () => {
  it('never leave a final state (I1)', () => {
    for (const state of TELEPORT_STATES.filter(isFinal)) {
      const elsewhere = TELEPORT_STATES.filter((other) => other !== state);
      expect(elsewhere.filter((other) => mayMove(state, other))).toEqual([]);
    }
    expect(TELEPORT_STATES.filter(isFinal)).toEqual(['running', 'failed', 'cancelled']);
  });

  it('may be reported again without effect (I2)', () => {
    for (const state of TELEPORT_STATES) expect(mayMove(state, state)).toBe(true);
  });

  it('let a teleport that waits for a source go on, fail or be cancelled (I3)', () => {
    const next = TELEPORT_STATES.filter((to) => to !== 'waiting' && mayMove('waiting', to));
    expect(next).toEqual(['syncing', 'failed', 'cancelled']);
  });

  it('never boot what was not verified', () => {
    const before = TELEPORT_STATES.filter((from) => from !== 'booting' && mayMove(from, 'booting'));
    expect(before).toEqual(['verified']);
  });

  it('all lead to a final state', () => {
    const reaches = new Set<TeleportState>(TELEPORT_STATES.filter(isFinal));
    for (let round = 0; round < TELEPORT_STATES.length; round += 1) {
      for (const state of TELEPORT_STATES) {
        if (TELEPORT_STATES.some((to) => to !== state && mayMove(state, to) && reaches.has(to))) {
          reaches.add(state);
        }
      }
    }
    expect(reaches.size).toBe(TELEPORT_STATES.length);
  });
});
