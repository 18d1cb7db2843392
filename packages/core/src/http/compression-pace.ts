/**
 * Room: http. Keeps the level of compression of a node's block streams: measures, and lets the domain decide.
 *
 * I1: a stream has one level from its first byte to its last.
 * I2: a node that nobody asked for a while starts again at the level that its limits name.
 */

import { BusyClock } from '../domain/busy-clock.ts';
import { nextCompressionLevel } from '../domain/compression-level.ts';

/** Shorter, and one answer that the kernel took whole would decide. */
const WINDOW_MS = 500;
/** Between two requests of an edge that is being served lies less, however slow the link. */
const IDLE_MS = 2000;

export class CompressionPace {
  /** Runs while anything is being compressed. */
  readonly clock = new BusyClock();
  /** Compressed bytes of all streams so far. */
  sentBytes = 0;
  readonly #restLevel: number;
  #level: number;
  #windowFromMs = Number.NEGATIVE_INFINITY;
  #busySeconds = 0;
  #sentBefore = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(restLevel: number) {
    this.#restLevel = restLevel;
    this.#level = restLevel;
  }

  /** The level of a stream that begins now; milliseconds of a clock that does not jump. */
  levelOfNext(nowMs: number): number {
    if (nowMs - this.#askedAtMs > IDLE_MS) {
      this.#level = this.#restLevel;
      this.#openWindow(nowMs);
    }
    this.#askedAtMs = nowMs;
    const windowMs = nowMs - this.#windowFromMs;
    if (windowMs < WINDOW_MS) return this.#level;
    const seconds = windowMs / 1000;
    this.#level = nextCompressionLevel(this.#level, {
      share: (this.clock.seconds(nowMs) - this.#busySeconds) / seconds,
      bytesPerSecond: (this.sentBytes - this.#sentBefore) / seconds,
    });
    this.#openWindow(nowMs);
    return this.#level;
  }

  #openWindow(nowMs: number): void {
    this.#windowFromMs = nowMs;
    this.#busySeconds = this.clock.seconds(nowMs);
    this.#sentBefore = this.sentBytes;
  }
}
