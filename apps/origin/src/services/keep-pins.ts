/**
 * Room: origin, services. Makes and removes the copies that the pin policy asks for.
 *
 * I1: a copy that fails leaves the version as it was; it is tried again after PIN_RETRY_MS.
 * I2: a disk that another version still wants pinned is not removed, and nothing is before every VM was
 *     looked at.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import { PIN_RETRY_MS } from '../limits.ts';
import type { ContentCache, Pins, SourceLocks } from '../ports.ts';
import type { VersionBook, VersionStanding } from './version-book.ts';

export interface PinKeeper {
  /** Does what the book's standings ask for. Throws only `cancelled`. */
  settle(signal: AbortSignal): Promise<void>;
}

/** A keeper of pins. */
export function createPinKeeper(options: {
  readonly book: VersionBook;
  readonly pins: Pins;
  readonly locks: SourceLocks;
  readonly cache: ContentCache;
  readonly logger: Logger;
  readonly now: () => number;
}): PinKeeper {
  const { book, pins, locks, cache, logger, now } = options;
  const notBefore = new Map<string, number>();

  const make = async (standing: VersionStanding, signal: AbortSignal): Promise<void> => {
    const source = book.source(standing.vm);
    if (source === undefined) return;
    for (const [i, digest] of standing.digests.entries()) {
      const disk = source.disks[i]!;
      const { recipe } = await cache.recipe(digest);
      const locked = await locks.lock(disk);
      try {
        if (locked.print !== source.prints[i]) return book.setMatching(standing.vm, false);
        await pins.make({ digest, recipe, disk }, locked, signal);
      } finally {
        locked.release();
      }
    }
    const { vm, version } = standing;
    logger.info({ event: 'pinned', vm, version }, 'keeps a copy of a version');
  };
  const tryMake = async (standing: VersionStanding, signal: AbortSignal): Promise<void> => {
    const key = `${standing.vm}/${standing.version}`;
    if ((notBefore.get(key) ?? 0) > now()) return;
    try {
      await make(standing, signal);
      notBefore.delete(key);
    } catch (error) {
      if (signal.aborted) throw error;
      if (isVmdnError(error, 'withdrawn')) book.setMatching(standing.vm, false);
      notBefore.set(key, now() + PIN_RETRY_MS);
      const { vm, version } = standing;
      logger.warn({ vm, version, err: error }, `could not pin: ${describeError(error)}`);
    }
  };
  return {
    async settle(signal) {
      for (const standing of book.standings()) {
        if (standing.pin === 'make') await tryMake(standing, signal);
      }
      const wanted = new Set<Digest>();
      for (const standing of book.standings()) {
        if (standing.pin === 'keep' || standing.pin === 'make') {
          for (const digest of standing.digests) wanted.add(digest);
        }
      }
      if (!book.vmNames().every((vm) => book.isLookedAt(vm))) return;
      for (const digest of [...pins.list().keys()]) {
        if (wanted.has(digest)) continue;
        await pins.remove(digest);
        logger.info({ event: 'unpinned', digest }, 'removed a copy that is no longer wanted');
      }
    },
  };
}
