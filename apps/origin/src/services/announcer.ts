/**
 * Room: origin, services. Keeps the coordinator's picture of this origin's versions true.
 *
 * I1: what is told is absolute; telling it again changes nothing, so a lost answer is asked for again.
 * I2: older versions are told first: one that is pinned stays so when a newer one appears.
 * I3: a coordinator that is away costs nothing but time; a refusal is logged once and tried again at the
 *     next turn.
 */

import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type { Announcements } from '../ports.ts';
import type { VersionBook, VersionStanding } from './version-book.ts';

export interface Announcer {
  /** Tells what has changed since it was told last. Never throws. */
  push(): Promise<void>;
  /** Forgets what was told: everything is told again at the next push. */
  forget(): void;
}

/** Tells a coordinator about the versions in a book. */
export function createAnnouncer(options: {
  readonly book: VersionBook;
  readonly announcements: Announcements;
  readonly logger: Logger;
}): Announcer {
  const { book, announcements, logger } = options;
  const told = new Map<string, string>();
  const complaints = new Map<string, string>();

  const tell = async (standing: VersionStanding): Promise<void> => {
    const { vm, version, state, description } = standing;
    if (description !== null && !told.has(keyOf(standing))) {
      await announcements.announce(description, state);
    } else {
      await announcements.setState(vm, version, state);
    }
    logger.info({ event: 'version_told', vm, version, state }, 'told the coordinator of a version');
  };
  /** Returns false when the coordinator is away. */
  const tellOne = async (standing: VersionStanding): Promise<boolean> => {
    const key = keyOf(standing);
    try {
      await tell(standing);
      complaints.delete(key);
      told.set(key, standing.state);
      return true;
    } catch (error) {
      if (isAway(error)) return false;
      // An old version that the coordinator never heard of needs no state there.
      if (
        !standing.isNewest &&
        (isVmdnError(error, 'not_found') || isVmdnError(error, 'conflict'))
      ) {
        told.set(key, standing.state);
        return true;
      }
      await renumberAfter(book, standing, error);
      const words = describeError(error);
      if (complaints.get(key) !== words) {
        logger.warn({ vm: standing.vm, version: standing.version, err: error }, words);
      }
      complaints.set(key, words);
      return true;
    }
  };
  const pushAll = async (): Promise<void> => {
    for (const standing of book.standings()) {
      if (told.get(keyOf(standing)) === standing.state) continue;
      if (!(await tellOne(standing))) return;
    }
  };
  let running: Promise<void> = Promise.resolve();
  return {
    push() {
      running = running.then(pushAll).catch((error: unknown) => {
        logger.error({ err: error }, describeError(error));
      });
      return running;
    },
    forget: () => told.clear(),
  };
}

function keyOf({ vm, version }: VersionStanding): string {
  return `${vm}/${version}`;
}

function isAway(error: unknown): boolean {
  return (['unavailable', 'timeout', 'busy', 'cancelled'] as const).some((code) =>
    isVmdnError(error, code),
  );
}

/**
 * The coordinator knows this number, or a higher one, with other content: this origin's ledger was lost.
 * The version gets a number of its own, and is announced at the next turn.
 */
async function renumberAfter(
  book: VersionBook,
  standing: VersionStanding,
  error: unknown,
): Promise<void> {
  if (!isVmdnError(error, 'conflict') || !standing.isNewest) return;
  const { version, known } = error.data;
  if (typeof version !== 'number') return;
  const highest = typeof known === 'number' ? Math.max(known, version) : version;
  await book.renumber(standing.vm, highest + 1);
}
