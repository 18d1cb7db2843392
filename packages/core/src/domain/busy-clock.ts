/**
 * Room: domain. How long at least one of several things went on: the time in which a link could send.
 *
 * I1: times that overlap count once.
 */

export class BusyClock {
  #busy = 0;
  #sinceMs = 0;
  #totalMs = 0;

  /** One more begins. */
  enter(nowMs: number): void {
    if (this.#busy === 0) this.#sinceMs = nowMs;
    this.#busy += 1;
  }

  /** One of them ends. */
  leave(nowMs: number): void {
    this.#busy -= 1;
    if (this.#busy === 0) this.#totalMs += nowMs - this.#sinceMs;
  }

  get isBusy(): boolean {
    return this.#busy > 0;
  }

  seconds(nowMs: number): number {
    return (this.#totalMs + (this.#busy > 0 ? nowMs - this.#sinceMs : 0)) / 1000;
  }
}
