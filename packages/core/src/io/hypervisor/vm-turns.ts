/**
 * Room: io, hypervisor. Steps on VMs, in turn.
 *
 * I1: steps on one VM never overlap and keep their order; steps on different VMs do not wait for each other.
 */

import type { Id } from '../../domain/names.ts';

/** One step at a time for each VM, in the order in which they were asked for (I1). */
export function createTurns(): {
  inTurn<T>(vm: Id, step: () => Promise<T>): Promise<T>;
  idle(): Promise<unknown>;
} {
  const last = new Map<Id, Promise<unknown>>();
  return {
    inTurn(vm, step) {
      const turn = (last.get(vm) ?? Promise.resolve()).then(step);
      const settled = turn
        .catch(() => undefined)
        .finally(() => {
          if (last.get(vm) === settled) last.delete(vm);
        });
      last.set(vm, settled);
      return turn;
    },
    idle: () => Promise.all(last.values()),
  };
}
