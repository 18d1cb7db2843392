/**
 * Room: domain. The rows of a disk that somebody waits for, or will want soon: by priority, then in the order
 * in which they were raised.
 *
 * I1: a row has one priority, the best that it was given; it keeps its turn among equals until it is done.
 * I2: a byte for each row, and an entry for each time that it became more urgent.
 */

/**
 * Reads of a guest come before all else; then what a guest that reads on will want next, what it read when it
 * booted the last time, and all the rest.
 */
export const PRIORITY = { guestRead: 0, readAhead: 1, bootTrace: 2, rest: 3 } as const;
export type Priority = (typeof PRIORITY)[keyof typeof PRIORITY];

export class RaisedRows {
  readonly #priorityOf: Uint8Array;
  readonly #queues: number[][] = [[], [], []];
  #size = 0;

  constructor(rows: number) {
    this.#priorityOf = new Uint8Array(rows).fill(PRIORITY.rest);
  }

  /** Rows that are raised and not done. */
  get size(): number {
    return this.#size;
  }

  /** Makes a row as urgent as this, unless it is so already. */
  push(row: number, priority: Priority): void {
    if (this.#priorityOf[row]! <= priority) return;
    if (this.#priorityOf[row] === PRIORITY.rest) this.#size += 1;
    this.#priorityOf[row] = priority;
    this.#queues[priority]!.push(row);
  }

  /** The row is done. */
  drop(row: number): void {
    if (this.#priorityOf[row] !== PRIORITY.rest) this.#size -= 1;
    this.#priorityOf[row] = PRIORITY.rest;
  }

  priorityOf(row: number): Priority {
    return this.#priorityOf[row] as Priority;
  }

  /** Offers all rows of one priority in turn, until `take` says false. */
  offer(priority: Priority, take: (row: number) => boolean | undefined): void {
    const queue = this.#queues[priority] ?? [];
    let [kept, goesOn] = [0, true];
    for (const row of queue) {
      // Done, or more urgent since.
      if (this.#priorityOf[row] !== priority) continue;
      queue[kept] = row;
      kept += 1;
      goesOn = goesOn && take(row) !== false;
    }
    queue.length = kept;
  }
}
