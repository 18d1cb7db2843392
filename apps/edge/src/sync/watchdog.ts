/**
 * Room: edge, sync. Ends a request to a source that stands still.
 *
 * I1: a request ends with `timeout` when nothing came for the given time, even when it ignores its signal.
 * I2: time during which we keep the source waiting does not count.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';

/** Ends a request that stands still. */
export class Watchdog {
  readonly #stallMs: number;
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal;
  #timer: NodeJS.Timeout | undefined;
  #pauses = 0;

  constructor(stallMs: number, signal: AbortSignal) {
    this.#stallMs = stallMs;
    this.#signal = AbortSignal.any([signal, this.#controller.signal]);
    this.touch();
  }

  /** Runs a request; a stall rejects with `timeout` even when the request ignores its signal. */
  async guard<T>(request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = this.#signal;
    signal.throwIfAborted();
    let abort = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
    });
    try {
      return await Promise.race([request(signal), aborted]);
    } catch (error) {
      // What a client throws about an abort matters less than why it was aborted.
      throw this.#controller.signal.aborted ? this.#controller.signal.reason : error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  touch(): void {
    if (this.#pauses > 0) return;
    if (this.#timer !== undefined) {
      this.#timer.refresh();
      return;
    }
    this.#timer = setTimeout(() => {
      const words = 'A source stopped sending; it is asked again.';
      this.#controller.abort(new VmdnError('timeout', words));
    }, this.#stallMs);
  }

  /** Time that we keep the source waiting does not count. */
  async pause(wait: Promise<void>): Promise<void> {
    this.#pauses += 1;
    this.#clear();
    await wait;
    this.#pauses -= 1;
    this.touch();
  }

  stop(): void {
    this.#pauses += 1;
    this.#clear();
  }

  #clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
