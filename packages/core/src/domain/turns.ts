/**
 * Room: domain. Steps that must not meet, in turn.
 *
 * I1: steps of one key never overlap and keep their order; those of different keys don't wait for each other.
 * I2: a step that failed does not stop the next.
 */

export interface Turns<Key> {
  /** Runs `step` after all earlier steps of the key. */
  inTurn<T>(key: Key, step: () => Promise<T>): Promise<T>;
  /** Whether somebody has the turn, or waits for it. */
  isTaken(key: Key): boolean;
  /** Resolves when the steps that were asked for by now have ended. */
  idle(): Promise<unknown>;
}

export function createTurns<Key>(): Turns<Key> {
  const last = new Map<Key, Promise<unknown>>();
  return {
    inTurn(key, step) {
      const turn = (last.get(key) ?? Promise.resolve()).then(step);
      const settled = turn
        .catch(() => undefined)
        .finally(() => {
          if (last.get(key) === settled) last.delete(key);
        });
      last.set(key, settled);
      return turn;
    },
    isTaken: (key) => last.has(key),
    idle: () => Promise.all(last.values()),
  };
}
