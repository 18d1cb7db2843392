/**
 * Room: origin, services. The disks that this origin serves: pins, and live sources under their locks.
 *
 * I1: a live source is served only while it looks exactly as it did when it was described; whoever finds
 *     that it does not says so, and the version is withdrawn.
 * I2: a recipe is served without touching the source's lock: it is taken at the first read of blocks.
 * I3: by the digest of a disk without its free space no free byte leaves: it is made zero right after it was
 *     read, by the map that was kept with the recipe; without the map nothing is served.
 * I4: a source whose files just got other names (a move's fence), or that was not looked at since the origin
 *     started, is asked for again, and not withdrawn.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { type ErrorCode, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import { NO_FREE_RANGES, zeroFree } from '@vmdn/core/domain/free-ranges.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { DiskLibrary, ServedDisk } from '@vmdn/core/io/ports/disk-library.ts';
import type { ContentCache, LockedDisk, SourceLocks } from '../ports.ts';
import type { DiskPlace, VersionBook } from './version-book.ts';

export interface ServedDisksOptions {
  readonly book: VersionBook;
  readonly locks: SourceLocks;
  readonly cache: ContentCache;
  /** Called when a source turns out not to be what was described. */
  readonly onTrouble: (vm: Name, error: unknown) => void;
}

/** What of a lock's or print's failure says that a live source is not there as described. */
const GONE: readonly ErrorCode[] = [
  'source_running',
  'source_changed',
  'withdrawn',
  'not_found',
  'forbidden',
  'hostile_format',
  'unsupported_format',
];

/** The library of an origin. */
export function createServedDisks(options: ServedDisksOptions): DiskLibrary {
  return { open: (digest) => openDisk(options, digest) };
}

async function openDisk(options: ServedDisksOptions, digest: Digest): Promise<ServedDisk> {
  const place = options.book.placeOf(digest);
  if (place === undefined) throw new VmdnError('not_found', 'This origin has no such disk.');
  if (place.kind === 'withdrawn') {
    throw new VmdnError('withdrawn', 'The version with this disk was withdrawn.');
  }
  if (place.kind === 'unseen') {
    const words = 'This origin has just started and has not seen this disk yet; try again.';
    throw new VmdnError('unavailable', words);
  }
  const trouble = troubleOf(options, place);
  if (place.kind === 'live') await requirePrint(options, place).catch(trouble);
  const { recipe, path, free } = await recordsOf(options, digest, place);
  let locking: Promise<LockedDisk> | undefined;
  return {
    digest,
    virtualSizeBytes: recipe.virtualSizeBytes,
    recipe,
    recipePath: path,
    async readInto(target, offsetBytes) {
      locking ??= lockPlace(options, place);
      try {
        await (await locking).readInto(target, offsetBytes);
        zeroFree(free, target, offsetBytes);
      } catch (error) {
        trouble(error);
      }
    },
    async release() {
      const locked = await locking?.catch(() => undefined);
      locked?.release();
    },
  };
}

/** Recipe and free ranges. Throws `unavailable` while they have to be made anew. */
async function recordsOf(
  { cache, onTrouble }: ServedDisksOptions,
  digest: Digest,
  place: Readable,
) {
  try {
    const free = place.withoutFree ? await cache.freeRanges(digest) : NO_FREE_RANGES;
    return { ...(await cache.recipe(digest)), free };
  } catch (cause) {
    if (place.kind === 'live') onTrouble(place.vm, cause);
    const message = 'The recipe of this disk is being made anew; try again.';
    throw new VmdnError('unavailable', message, { cause });
  }
}

type Readable = Extract<DiskPlace, { kind: 'pin' | 'live' }>;

/** Rethrows; what says that a live source is gone becomes `withdrawn`, and is told. */
function troubleOf(options: ServedDisksOptions, place: Readable): (error: unknown) => never {
  return (error) => {
    const isGone = GONE.some((code) => isVmdnError(error, code));
    if (place.kind !== 'live' || !isGone) throw error;
    if (!options.book.stands(place)) {
      const words = 'The disk has got another name here just now; try again.';
      throw new VmdnError('unavailable', words, { cause: error });
    }
    options.onTrouble(place.vm, error);
    if (isVmdnError(error, 'withdrawn')) throw error;
    throw new VmdnError('withdrawn', 'The VM of this disk runs, or has changed.', { cause: error });
  };
}

async function requirePrint(
  options: ServedDisksOptions,
  place: Extract<DiskPlace, { kind: 'live' }>,
): Promise<void> {
  if ((await options.locks.print(place.disk)) === place.print) return;
  throw new VmdnError('withdrawn', 'The disk has changed since it was described.');
}

async function lockPlace(options: ServedDisksOptions, place: Readable): Promise<LockedDisk> {
  const locked = await options.locks.lock(place.disk);
  if (place.kind === 'pin' || locked.print === place.print) return locked;
  locked.release();
  throw new VmdnError('withdrawn', 'The disk has changed since it was described.');
}
