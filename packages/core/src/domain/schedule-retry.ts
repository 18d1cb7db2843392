/**
 * Room: domain. What becomes of a source that failed: wait and ask again, count a strike, set it aside.
 *
 * I1: a source that is away is asked again for ever, at growing intervals; only the caller gives up.
 * I2: a source that sends wrong bytes is asked once more, then set aside; requests that were already on
 *     their way at the first strike do not count as a second one.
 * I3: no clock and no randomness here: both come in as numbers.
 */

import type { ErrorCode } from './errors.ts';

export const BACKOFF_MIN_MS = 250;
export const BACKOFF_MAX_MS = 10_000;
/** One strike is an accident (a bit flipped on the way), two are a habit. */
const STRIKES_MAX = 2;

const AWAY: ReadonlySet<ErrorCode> = new Set(['unavailable', 'timeout', 'busy']);

export class SourceHealth {
  /** Why the source is set aside; undefined while it may be asked. */
  asideCode: ErrorCode | undefined;
  /** Why the last request failed; undefined when the source answers. */
  awayCode: ErrorCode | undefined;
  retryAtMs = 0;
  /** Somebody is finding out whether the source is back. */
  isProbed = false;
  failures = 0;
  #strikes = 0;
  #forgivenUpTo = 0;

  get isAside(): boolean {
    return this.asideCode !== undefined;
  }

  get isAway(): boolean {
    return this.awayCode !== undefined;
  }

  /** It failed before this run began: it is away until it answers, and is asked at once. */
  doubt(): void {
    this.awayCode = 'unavailable';
  }

  /** Blocks came in: the source is there. */
  answered(): void {
    this.awayCode = undefined;
    this.failures = 0;
  }

  /**
   * A request failed. `request` numbers requests in the order of their start, `lastRequest` is the newest
   * one; `jitter` lies in [0, 1).
   */
  failed(
    code: ErrorCode,
    at: { readonly request: number; readonly lastRequest: number },
    nowMs: number,
    jitter: number,
  ): void {
    if (AWAY.has(code)) {
      this.awayCode = code;
      this.failures += 1;
      const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** (this.failures - 1));
      this.retryAtMs = nowMs + most * (0.5 + jitter / 2);
    } else if (code === 'corrupt') {
      this.strike(at);
    } else {
      this.asideCode ??= code;
    }
  }

  /** What `request` brought was wrong. */
  strike(at: { readonly request: number; readonly lastRequest: number }): void {
    if (at.request <= this.#forgivenUpTo) return;
    this.#strikes += 1;
    this.#forgivenUpTo = at.lastRequest;
    if (this.#strikes >= STRIKES_MAX) this.asideCode ??= 'corrupt';
  }
}
