/**
 * Room: io, files. One process owns a directory, or has its turn with one.
 *
 * A lock must vanish with its process, even after a kill -9, and must not be taken twice by two
 * processes that find a dead owner at the same moment. Pid files and socket files fail the second,
 * a helper that holds flock(2) can die alone. SQLite's exclusive transaction is a POSIX record lock
 * that this very process holds: the kernel drops it when the process ends, and taking it is atomic.
 *
 * I1: while the lock is held no other process, and nobody else in this one, gets it.
 */

import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';

/** How long a process that is just ending may still hold the lock. */
const PATIENCE_MS = 3000;
const SQLITE_BUSY = 5;
/** How often a lock that somebody has for a while is looked at. */
const LOOK_MS = 100;

/** Takes the lock file at `path`. Throws `conflict` when somebody else has it. */
export function takeOwnerLock(path: string, patienceMs: number = PATIENCE_MS): Disposable {
  const database = new DatabaseSync(path, { timeout: patienceMs });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw cause;
    throw new VmdnError(
      'conflict',
      `Another process owns ${path}. Stop it, or give this one another state directory.`,
      { data: { path }, cause },
    );
  }
  return {
    [Symbol.dispose]() {
      if (database.isOpen) database.close();
    },
  };
}

/** Waits for its turn with the lock file at `path`. Throws `conflict` when it takes more than `timeoutMs`. */
export async function awaitOwnerLock(path: string, timeoutMs: number): Promise<Disposable> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return takeOwnerLock(path, 0);
    } catch (error) {
      if (!isVmdnError(error, 'conflict') || performance.now() >= deadline) throw error;
    }
    await pause(LOOK_MS);
  }
}
