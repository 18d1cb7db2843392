/**
 * Room: edge, sync. How fast a source brings blocks, and whether somebody should help it.
 *
 * I1: a pace is bytes of the disk over time in which a request waited for the source: neither what compresses
 *     well nor what we kept waiting makes it look slow.
 * I2: old news fades: a pace is that of the last PACE_MS or so of waiting.
 * I3: a source is slow only in comparison: while another one that was tried brings no more, it is the machine
 *     or the line here that is slow, and help would only cost.
 */

import { PACE_MS, SLOW_AFTER_MS, SLOW_BYTES_PER_SECOND } from './limits.ts';

export class SourcePace {
  #requests = 0;
  #atMs = 0;
  #waitedMs = 0;
  /** Both fade. */
  #bytes = 0;
  #ms = 0;

  /** A request waits for the source from now on. */
  enter(nowMs = performance.now()): void {
    this.#advance(nowMs);
    this.#requests += 1;
  }

  /** It does no longer: it is over, or we keep the source waiting. */
  leave(nowMs = performance.now()): void {
    this.#advance(nowMs);
    this.#requests -= 1;
  }

  /** Bytes of the disk came in. */
  came(bytes: number, nowMs = performance.now()): void {
    this.#advance(nowMs);
    this.#bytes += bytes;
  }

  /** Time passes, whether anything comes or not. */
  #advance(nowMs: number): void {
    const ms = this.#requests > 0 ? nowMs - this.#atMs : 0;
    this.#atMs = nowMs;
    if (ms <= 0) return;
    const kept = Math.exp(-ms / PACE_MS);
    this.#bytes *= kept;
    this.#ms = this.#ms * kept + PACE_MS * (1 - kept);
    this.#waitedMs += ms;
  }

  /** Whether what it brought so far says anything. */
  get isKnown(): boolean {
    return this.#waitedMs >= SLOW_AFTER_MS;
  }

  get bytesPerSecond(): number {
    return this.#ms > 0 ? (this.#bytes * 1000) / this.#ms : 0;
  }
}

/** Whether a peer is so slow that the origins, with these paces, should help. */
export function needsHelp(peer: SourcePace, origins: readonly SourcePace[]): boolean {
  if (!peer.isKnown || peer.bytesPerSecond >= SLOW_BYTES_PER_SECOND) return false;
  const tried = origins.filter(({ isKnown }) => isKnown);
  return (
    tried.length === 0 ||
    tried.some(({ bytesPerSecond }) => bytesPerSecond > 2 * peer.bytesPerSecond)
  );
}
