/** Room: io, store. Steps that must not meet: one at a time for each key, in the order of their coming. */

export type Turns<Key> = <T>(key: Key, step: () => Promise<T>) => Promise<T>;

/** Runs each step when those of its key that came before have ended, however they ended. */
export function createTurns<Key>(): Turns<Key> {
  const ends = new Map<Key, Promise<void>>();
  return (key, step) => {
    const turn = (ends.get(key) ?? Promise.resolve()).then(step);
    const forget = (): void => {
      if (ends.get(key) === end) ends.delete(key);
    };
    const end = turn.then(forget, forget);
    ends.set(key, end);
    return turn;
  };
}
