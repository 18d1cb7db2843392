/**
 * Room: edge, sync. A disk that can be read, as one to be served, while it is being made: what is missing is
 * asked for ahead of everything else, and whoever reads waits for it.
 *
 * I1: a read is answered only from segments that were verified and written to the staging file (or verified
 *     in the shared base), or that the recipe says are zero. It does not wait until they are durable: what a
 *     guest saw of an immutable disk is the same after a power cut, fetched once more.
 * I2: while nothing can be had, a read waits; it fails only when whoever reads gives up, or when a file of
 *     this machine cannot be read. A sync that ended is no reason: the next one goes on from there.
 * I3: it belongs to one disk, by digest, and to one sync at a time.
 */

import type { BusyClock } from '@vmdn/core/domain/busy-clock.ts';
import { PRIORITY, type Priority } from '@vmdn/core/domain/raised-rows.ts';
import { isSegmentNonZero, type Recipe } from '@vmdn/core/domain/recipe.ts';
import { SEGMENT_BYTES, segmentCount } from '@vmdn/core/domain/units.ts';
import type { ClosableDisk, DiskExtent, ExportedDisk } from '@vmdn/core/io/ports/exported-disk.ts';
import { ReadAhead } from './read-ahead.ts';

/** What a sync has of the disk, and gets when asked. */
export interface LazyStage {
  /** To be read where `isThere` says so. */
  readonly file: ClosableDisk;
  isThere(segment: number): boolean;
  want(segments: readonly number[], priority: Priority): void;
}

interface Waiter {
  missing: number;
  readonly resolve: () => void;
}

export class LazyDisk implements ExportedDisk {
  readonly sizeBytes: number;
  readonly #recipe: Recipe;
  readonly #ahead: ReadAhead;
  readonly #waiting = new Map<number, Set<Waiter>>();
  #stage: LazyStage | undefined;

  constructor(recipe: Recipe) {
    this.sizeBytes = recipe.virtualSizeBytes;
    this.#recipe = recipe;
    this.#ahead = new ReadAhead(segmentCount(recipe.virtualSizeBytes));
  }

  /** A sync begins: what reads wait for is asked of it. */
  attach(stage: LazyStage): void {
    const former = this.#stage;
    this.#stage = stage;
    void former?.file.close();
    const wanted: number[] = [];
    for (const segment of [...this.#waiting.keys()]) {
      if (stage.isThere(segment)) this.verified(segment);
      else wanted.push(segment);
    }
    stage.want(wanted, PRIORITY.guestRead);
  }

  /** A segment is there. */
  verified(segment: number): void {
    const waiters = this.#waiting.get(segment);
    if (waiters === undefined) return;
    this.#waiting.delete(segment);
    for (const waiter of waiters) {
      waiter.missing -= 1;
      if (waiter.missing === 0) waiter.resolve();
    }
  }

  readNow(target: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): boolean {
    const stage = this.#stage;
    if (stage === undefined || !this.#isThere(offsetBytes, lengthBytes)) return false;
    if (!stage.file.readNow(target, at, lengthBytes, offsetBytes)) return false;
    this.#goAhead(offsetBytes, lengthBytes);
    return true;
  }

  /** `stalls` runs while the read waits for a segment. */
  async read(
    target: Uint8Array,
    at: number,
    lengthBytes: number,
    offsetBytes: number,
    signal: AbortSignal,
    stalls?: BusyClock,
  ): Promise<void> {
    for (;;) {
      const missing = this.#missing(offsetBytes, lengthBytes);
      const isThere = missing.length === 0 ? undefined : this.#wait(missing, signal, stalls);
      // Behind what is missing here, so that it comes after it.
      this.#goAhead(offsetBytes, lengthBytes);
      await isThere;
      const stage = this.#stage;
      try {
        if (stage === undefined) target.fill(0, at, at + lengthBytes);
        else await stage.file.read(target, at, lengthBytes, offsetBytes, signal);
        return;
      } catch (error) {
        // The file was closed for that of the next sync.
        if (stage === this.#stage) throw error;
      }
    }
  }

  extent(offsetBytes: number, endBytes: number): DiskExtent {
    let segment = Math.floor(offsetBytes / SEGMENT_BYTES);
    const last = Math.floor((endBytes - 1) / SEGMENT_BYTES);
    const isZero = !isSegmentNonZero(this.#recipe, segment);
    do segment += 1;
    while (segment <= last && isSegmentNonZero(this.#recipe, segment) !== isZero);
    return { endBytes: Math.min(segment * SEGMENT_BYTES, endBytes), isZero };
  }

  prefetch(offsetBytes: number, lengthBytes: number): void {
    this.#stage?.want(this.#missing(offsetBytes, lengthBytes), PRIORITY.readAhead);
  }

  /** Closes the file; reads that wait go on waiting until they are called off. */
  async close(): Promise<void> {
    const stage = this.#stage;
    this.#stage = undefined;
    await stage?.file.close();
  }

  /** Whether a segment is missing: neither zero nor verified. */
  #lacks(segment: number): boolean {
    return isSegmentNonZero(this.#recipe, segment) && this.#stage?.isThere(segment) !== true;
  }

  #isThere(offsetBytes: number, lengthBytes: number): boolean {
    const last = Math.floor((offsetBytes + lengthBytes - 1) / SEGMENT_BYTES);
    for (let segment = Math.floor(offsetBytes / SEGMENT_BYTES); segment <= last; segment += 1) {
      if (this.#lacks(segment)) return false;
    }
    return true;
  }

  #missing(offsetBytes: number, lengthBytes: number): number[] {
    const last = Math.floor((offsetBytes + lengthBytes - 1) / SEGMENT_BYTES);
    const missing: number[] = [];
    for (let segment = Math.floor(offsetBytes / SEGMENT_BYTES); segment <= last; segment += 1) {
      if (this.#lacks(segment)) missing.push(segment);
    }
    return missing;
  }

  async #wait(
    missing: readonly number[],
    signal: AbortSignal,
    stalls: BusyClock | undefined,
  ): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { missing: missing.length, resolve };
    for (const segment of missing) {
      const others = this.#waiting.get(segment);
      if (others === undefined) this.#waiting.set(segment, new Set([waiter]));
      else others.add(waiter);
    }
    this.#stage?.want(missing, PRIORITY.guestRead);
    const giveUp = (): void => {
      for (const segment of missing) {
        const waiters = this.#waiting.get(segment);
        waiters?.delete(waiter);
        if (waiters?.size === 0) this.#waiting.delete(segment);
      }
      reject(signal.reason);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    stalls?.enter(performance.now());
    try {
      await promise;
    } finally {
      stalls?.leave(performance.now());
      signal.removeEventListener('abort', giveUp);
    }
  }

  #goAhead(offsetBytes: number, lengthBytes: number): void {
    const last = Math.floor((offsetBytes + lengthBytes - 1) / SEGMENT_BYTES);
    const range = this.#ahead.saw(Math.floor(offsetBytes / SEGMENT_BYTES), last);
    if (range === null || this.#stage === undefined) return;
    const [from, to] = [range.from * SEGMENT_BYTES, range.to * SEGMENT_BYTES];
    const missing = this.#missing(from, Math.min(to, this.sizeBytes) - from);
    if (missing.length > 0) this.#stage.want(missing, PRIORITY.readAhead);
  }
}
