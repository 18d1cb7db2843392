/**
 * Room: origin, io. Sources locked against writers (core/io/disk-export), shared by all who read them,
 * let go when nobody does.
 *
 * I1: bytes are handed out only if the source's print, taken after they were read, is still the one it
 *     had when it was locked: a changed source gives `withdrawn`, never mixed versions.
 * I2: a lock is held from the first reader until LOCK_IDLE_MS after the last one (at once where that one
 *     says so), or until it is let go on request; then at once, and it is not taken again before the time
 *     asked for, nor during a step of ours that keeps everybody away.
 * I3: no process is left behind when this is disposed of.
 */

import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskSource } from '@vmdn/core/domain/vm-specification.ts';
import type { CommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { type DiskExport, openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { sourceFingerprint } from '@vmdn/core/io/disk-export/source-fingerprint.ts';
import { connectNbd, type NbdClient } from '@vmdn/core/io/nbd/nbd-client.ts';
import { LOCK_IDLE_MS, LOCKS_MAX } from '../limits.ts';
import type { LockedDisk, SourceLocks, SourcePrint } from '../ports.ts';

export interface SourceLocksOptions {
  readonly runner: CommandRunner;
  /** A private folder for sockets; its path is short. */
  readonly socketDir: string;
  readonly idleMs?: number;
  readonly locksMax?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** A source that changes as often as it is locked is being written to. */
const LOCK_ATTEMPTS = 3;

/** A lock that is held, or being taken or let go. */
interface Held {
  readonly opened: Promise<Opened>;
  users: number;
  idleTimer: NodeJS.Timeout | undefined;
  closing: Promise<void> | undefined;
  /** A reader found that the source has changed: nobody may join any more. */
  hasChanged: boolean;
}

interface Opened {
  readonly exported: DiskExport;
  readonly client: NbdClient;
  readonly print: SourcePrint;
  /** Rejects with `withdrawn` unless the source still looks as it did; begins after it is called. */
  readonly requireUnchanged: () => Promise<void>;
}

/** Takes and shares locks. */
export function createSourceLocks(options: SourceLocksOptions): SourceLocks {
  const held = new Map<string, Held>();
  const { idleMs = LOCK_IDLE_MS, locksMax = LOCKS_MAX, now = Date.now } = options;
  const refusals = createRefusals(now);

  const close = (key: string, entry: Held): Promise<void> => {
    clearTimeout(entry.idleTimer);
    entry.closing ??= closeHeld(entry).finally(() => {
      if (held.get(key) === entry) held.delete(key);
    });
    return entry.closing;
  };
  const closeAny = async (key: string): Promise<void> => {
    const entry = held.get(key);
    if (entry !== undefined) await close(key, entry);
  };
  const requireRoom = (): void => {
    if (held.size < locksMax) return;
    const idle = [...held].find(([, entry]) => entry.users === 0);
    if (idle === undefined) throw tooMany(locksMax);
    void close(...idle);
  };
  const enter = async (disk: DiskSource, key: string): Promise<Held> => {
    for (;;) {
      refusals.requireAllowed(key);
      const present = held.get(key);
      if (present?.closing === undefined && present !== undefined) return present;
      if (present !== undefined) {
        await present.closing;
        continue;
      }
      requireRoom();
      const entry = newlyHeld(openSource(disk, options));
      held.set(key, entry);
      entry.opened.then(
        ({ exported }) => exported.ended.then(() => close(key, entry)),
        () => close(key, entry),
      );
      return entry;
    }
  };
  const leave = (key: string, entry: Held, atOnce: boolean): void => {
    entry.users -= 1;
    if (entry.users > 0 || entry.closing !== undefined) return;
    if (atOnce) void close(key, entry);
    else entry.idleTimer = setTimeout(() => void close(key, entry), idleMs);
  };
  return {
    print: printOf,
    isLocked: (disk) => held.has(keyOf(disk)),
    async lock(disk) {
      const key = keyOf(disk);
      for (let attempt = 1; ; attempt += 1) {
        const entry = await enter(disk, key);
        clearTimeout(entry.idleTimer);
        entry.users += 1;
        const release = once((atOnce) => leave(key, entry, atOnce));
        const handle = { release, close: () => close(key, entry) };
        try {
          const opened = await entry.opened;
          await opened.requireUnchanged();
          return lockedDisk(opened, entry, handle);
        } catch (error) {
          release(false);
          // Somebody still holds a lock from before the change: it serves nobody any more.
          if (!isVmdnError(error, 'withdrawn') || attempt === LOCK_ATTEMPTS) throw error;
          entry.hasChanged = true;
          await close(key, entry);
        }
      }
    },
    async letGo(disk, untilMs) {
      const key = keyOf(disk);
      refusals.set(key, untilMs);
      await closeAny(key);
    },
    async keepAway(disk) {
      const key = keyOf(disk);
      const keeping = refusals.keepAway(key);
      await closeAny(key);
      return keeping;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...held].map(([key, entry]) => close(key, entry)));
    },
  };
}

/** By nobody yet. */
function newlyHeld(opened: Promise<Opened>): Held {
  return { opened, users: 0, idleTimer: undefined, closing: undefined, hasChanged: false };
}

function tooMany(locksMax: number): VmdnError {
  const message = 'Too many disks are read at once here; try again later.';
  return new VmdnError('busy', message, { data: { locksMax } });
}

/** Disks that were let go for their owners, and until when, or for a step of ours. */
function createRefusals(now: () => number): {
  set(key: string, untilMs: number): void;
  keepAway(key: string): Disposable;
  requireAllowed(key: string): void;
} {
  const refusedUntil = new Map<string, number>();
  const keptAway = new Map<object, string>();
  return {
    keepAway(key) {
      const keeping = { [Symbol.dispose]: () => void keptAway.delete(keeping) };
      keptAway.set(keeping, key);
      return keeping;
    },
    set(key, untilMs) {
      refusedUntil.delete(key);
      if (untilMs > now()) refusedUntil.set(key, untilMs);
    },
    requireAllowed(key) {
      if ([...keptAway.values()].includes(key)) {
        const message = 'The disk is being written to by this origin; it can be read again soon.';
        throw new VmdnError('unavailable', message);
      }
      const leftMs = (refusedUntil.get(key) ?? 0) - now();
      if (leftMs <= 0) {
        refusedUntil.delete(key);
        return;
      }
      const seconds = Math.ceil(leftMs / 1000);
      const message = `The disk was let go for its owner; it can be read again in ${seconds} s.`;
      throw new VmdnError('unavailable', message, { data: { seconds } });
    },
  };
}

function keyOf(disk: DiskSource): string {
  return JSON.stringify(disk.layers.map(({ path, format }) => [path, format]));
}

async function printOf(disk: DiskSource): Promise<SourcePrint> {
  const layers = await Promise.all(
    disk.layers.map(async ({ path, format }) => {
      const { device, inode, sizeBytes, mtimeNs, ctimeNs } = await sourceFingerprint(path);
      return [path, format, device, inode, sizeBytes, mtimeNs, ctimeNs];
    }),
  );
  return JSON.stringify(layers) as SourcePrint;
}

async function openSource(disk: DiskSource, options: SourceLocksOptions): Promise<Opened> {
  const { runner, socketDir } = options;
  const exported = await openDiskExport({ layers: disk.layers, socketDir, runner });
  try {
    const client = await connectNbd({ socketPath: exported.socketPath });
    const print = await printOf(disk);
    const requireUnchanged = freshCheck(async () => {
      const found = await printOf(disk).catch(() => undefined);
      if (found === print) return;
      throw new VmdnError('withdrawn', 'The disk has changed since it was described.');
    });
    return { exported, client, print, requireUnchanged };
  } catch (error) {
    await exported.close();
    throw error;
  }
}

async function closeHeld(entry: Held): Promise<void> {
  const opened = await entry.opened.catch(() => undefined);
  if (opened === undefined) return;
  // The client first: its readers learn at once that nothing more comes.
  await opened.client.close().catch(() => undefined);
  await opened.exported.close();
}

function lockedDisk(
  opened: Opened,
  entry: Held,
  handle: { readonly release: (atOnce: boolean) => void; readonly close: () => Promise<void> },
): LockedDisk {
  return {
    virtualSizeBytes: opened.exported.virtualSizeBytes,
    print: opened.print,
    socketPath: opened.exported.socketPath,
    async readInto(target, offsetBytes) {
      try {
        await opened.client.read(target, offsetBytes);
        await opened.requireUnchanged();
      } catch (cause) {
        if (entry.hasChanged || isVmdnError(cause, 'withdrawn')) {
          entry.hasChanged = true;
          void handle.close();
          throw new VmdnError('withdrawn', 'The disk has changed since it was described.', {
            cause,
          });
        }
        if (entry.closing === undefined) throw cause;
        throw new VmdnError('unavailable', 'The disk was let go while it was read.', { cause });
      }
    },
    release: (options) => handle.release(options?.atOnce ?? false),
  };
}

/**
 * Shares runs of `check` between callers, such that each caller gets one that began after it asked: what
 * it read before is then covered by what the check found.
 */
function freshCheck(check: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    const run = check().finally(() => {
      if (running === run) running = undefined;
    });
    running = run;
    return run;
  };
  return () => {
    if (running === undefined) return start();
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = undefined;
        return start();
      });
    return next;
  };
}

function once(action: (atOnce: boolean) => void): (atOnce: boolean) => void {
  let done = false;
  return (atOnce) => {
    if (!done) action(atOnce);
    done = true;
  };
}
