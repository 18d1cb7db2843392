/**
 * Room: io, store. One process owns a directory.
 *
 * A lock must vanish with its process, even after a kill -9, and must not be taken twice by two
 * processes that find a dead owner at the same moment. Pid files and socket files fail the second,
 * a helper that holds flock(2) can die alone. SQLite's exclusive transaction is a POSIX record lock
 * that this very process holds: the kernel drops it when the process ends, and taking it is atomic.
 *
 * I1: while the lock is held no other process, and nobody else in this one, gets it.
 */

import { DatabaseSync } from 'node:sqlite';
import { VmdnError } from '../../domain/errors.ts';

/** How long a process that is just ending may still hold the lock. */
const PATIENCE_MS = 3000;
const SQLITE_BUSY = 5;

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
