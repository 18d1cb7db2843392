/**
 * Room: edge, sync. The memory of one disk's executor: slots of one segment each, shared with workers.
 *
 * I1: above `slotsMax` slots in use the network is told to wait; above twice that, `take` fails. What is
 *     never touched is never backed by memory, and the slots used last are used first.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { SEGMENT_BYTES } from '@vmdn/core/domain/units.ts';

export class SlotArena {
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  readonly #slotsMax: number;
  readonly #free: number[];
  #waiters: (() => void)[] = [];
  #used = 0;

  constructor(bufferBytes: number) {
    this.#slotsMax = Math.max(8, Math.floor(bufferBytes / SEGMENT_BYTES));
    const slots = 2 * this.#slotsMax;
    this.buffer = new SharedArrayBuffer(slots * SEGMENT_BYTES);
    this.bytes = new Uint8Array(this.buffer);
    this.#free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  get isCrowded(): boolean {
    return this.#used > this.#slotsMax;
  }

  /** A free slot. Throws `too_large` when a source kept sending although it was told to wait. */
  take(): number {
    const slot = this.#free.pop();
    if (slot === undefined) {
      throw new VmdnError('too_large', 'A source sent more than was taken from it.');
    }
    this.#used += 1;
    return slot;
  }

  release(slot: number): void {
    this.#free.push(slot);
    this.#used -= 1;
    if (this.isCrowded) return;
    for (const wake of this.#waiters.splice(0)) wake();
  }

  /** Fulfilled when the arena is not crowded. */
  room(): Promise<void> {
    return this.isCrowded
      ? new Promise((resolve) => this.#waiters.push(resolve))
      : Promise.resolve();
  }
}
