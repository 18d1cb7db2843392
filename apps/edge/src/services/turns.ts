/**
 * Room: edge, services. One at a time for each key, in the order in which they asked.
 */

export interface Turns {
  /** Runs `step` after all earlier steps of the key. A step that failed does not stop the next. */
  inTurn<T>(key: string, step: () => Promise<T>): Promise<T>;
  /** Whether somebody has the turn, or waits for it. */
  isTaken(key: string): boolean;
}

export function createTurns(): Turns {
  const last = new Map<string, Promise<unknown>>();
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
  };
}
