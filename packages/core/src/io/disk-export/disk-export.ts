/**
 * Room: io, disk-export. The locked read-only export: the one way in which a source is read.
 *
 * I1: while the export is open no QEMU process can write to any of its layers, so no VM starts on them;
 *     while a QEMU process may write to one of them the export is refused (`source_running`).
 * I2: the source is opened for reading only; nothing about it changes.
 * I3: formats are the declared ones, checked against the headers before QEMU sees them, with proof that
 *     the files did not change in between; backing files are the named ones.
 * I4: the socket lies in a directory that only we can enter. close() leaves no process and no socket.
 */

import { randomBytes } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { DiskLayer } from '../../domain/disk-format.ts';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { MAX_BACKING_LAYERS, SOCKET_PATH_BYTES_MAX } from '../../domain/limits.ts';
import { SECTOR_BYTES } from '../../domain/units.ts';
import type { CommandExit, CommandRunner, RunningCommand } from '../command/command-runner.ts';
import { startStorageDaemon } from '../command/qemu-storage-daemon.ts';
import { ensurePrivateDir, fileError } from '../files/files.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { inspectLayers } from './inspect-layers.ts';
import {
  type SourceFingerprint,
  sameFingerprint,
  sourceFingerprint,
} from './source-fingerprint.ts';

export interface DiskExportOptions {
  /** The disk first, then its backing chain down to the base. */
  readonly layers: readonly DiskLayer[];
  /** Where the socket goes; made 0700. */
  readonly socketDir: string;
  readonly runner: CommandRunner;
  readonly signal?: AbortSignal | undefined;
  /** How many clients may be connected at once. Default 32. */
  readonly connectionsMax?: number;
}

export interface DiskExport {
  readonly socketPath: string;
  readonly virtualSizeBytes: number;
  /** Fingerprints of the layers while locked, in order: compare them with later ones. */
  readonly fingerprints: readonly SourceFingerprint[];
  /** Settles when the export has ended, by close() or by itself. Never rejects. */
  readonly ended: Promise<void>;
  /** Lets go of the disk. Idempotent; resolves when no lock is held any more. */
  close(): Promise<void>;
}

const START_LIMIT_MS = 30_000;
const RETRY_MS = 10;
const DEFAULT_CONNECTIONS = 32;

/**
 * Opens a disk for reading and keeps writers out until it is closed. Throws `source_running`,
 * `source_changed`, `not_found`, `forbidden`, `unsupported_format`, `hostile_format`, `tool_missing`,
 * `tool_failed`, `cancelled`.
 */
export async function openDiskExport(options: DiskExportOptions): Promise<DiskExport> {
  const { layers, socketDir, runner, signal } = options;
  await checkLayers(layers);
  const before = await fingerprintsOf(layers);
  await inspectLayers(layers);
  await ensurePrivateDir(socketDir);
  const socketPath = join(socketDir, `nbd-${randomBytes(8).toString('hex')}.sock`);
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) {
    const message = `The directory ${socketDir} has too long a name for a socket; choose a shorter one.`;
    throw new VmdnError('invalid_input', message, { data: { socketPath } });
  }
  const connections = options.connectionsMax ?? DEFAULT_CONNECTIONS;
  const server = startStorageDaemon(runner, layers, socketPath, connections);
  const ended = server.exited.then(
    () => rm(socketPath, { force: true }),
    () => {},
  );
  const close = async (): Promise<void> => {
    await server.stop().catch(() => {});
    await ended;
  };
  try {
    const virtualSizeBytes = await sizeWhenReady(server, socketPath, signal);
    const fingerprints = await fingerprintsOf(layers);
    if (!fingerprints.every((found, i) => sameFingerprint(found, before[i]!))) {
      throw new VmdnError('source_changed', 'The disk changed while it was opened; try again.', {
        data: { before, after: fingerprints },
      });
    }
    return { socketPath, virtualSizeBytes, fingerprints, ended, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Names and kinds of files are right; which of them may be used at all is the caller's to know. */
async function checkLayers(layers: readonly DiskLayer[]): Promise<void> {
  if (layers.length === 0 || layers.length > MAX_BACKING_LAYERS) {
    const message = `A disk has 1 to ${MAX_BACKING_LAYERS} layers; flatten a deeper chain first.`;
    throw new VmdnError('unsupported_format', message, { data: { layers: layers.length } });
  }
  for (const { path } of layers) {
    if (!isAbsolute(path) || path.includes('\0')) {
      throw new VmdnError('invalid_input', 'A disk is named by an absolute path.', {
        data: { path },
      });
    }
    const found = await stat(path).catch((error: unknown) => {
      throw fileError(error, path);
    });
    if (!found.isFile() && !found.isBlockDevice()) {
      throw new VmdnError('unsupported_format', `${path} is neither a file nor a block device.`, {
        data: { path },
      });
    }
  }
}

function fingerprintsOf(layers: readonly DiskLayer[]): Promise<SourceFingerprint[]> {
  return Promise.all(layers.map(({ path }) => sourceFingerprint(path)));
}

/** Waits until the server answers; returns the disk's size. */
async function sizeWhenReady(
  server: RunningCommand,
  socketPath: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  let exit: CommandExit | undefined;
  const failure = server.exited.then((found) => {
    exit = found;
  });
  for (let waitedMs = 0; waitedMs < START_LIMIT_MS; waitedMs += RETRY_MS) {
    try {
      const client = await connectNbd({ socketPath, signal });
      const { sizeBytes } = client;
      await client.close();
      if (sizeBytes % SECTOR_BYTES !== 0) {
        throw new VmdnError('unsupported_format', 'The disk is no multiple of 512 bytes long.', {
          data: { sizeBytes },
        });
      }
      return sizeBytes;
    } catch (error) {
      if (!isVmdnError(error, 'unavailable')) throw error;
    }
    await Promise.race([failure, pause(RETRY_MS)]);
    if (exit !== undefined) throw startFailure(exit);
  }
  throw new VmdnError('timeout', `The export was not ready within ${START_LIMIT_MS / 1000} s.`);
}

/** What the daemon's last words mean. The words are QEMU's own (block/file-posix.c), under LC_ALL=C. */
function startFailure(exit: CommandExit): VmdnError {
  const data = { exitCode: exit.exitCode, signal: exit.signalName, stderr: exit.stderrTail };
  if (
    /Failed to get (shared )?".*" lock|Is another process using the image/.test(exit.stderrTail)
  ) {
    const message = 'The disk is in use by a running VM or another program; stop it and try again.';
    return new VmdnError('source_running', message, { data });
  }
  if (/No such file or directory/.test(exit.stderrTail)) {
    return new VmdnError('not_found', 'A layer of the disk does not exist.', { data });
  }
  const message = `The disk cannot be opened: ${exit.stderrTail || 'it ended'}`;
  return new VmdnError('tool_failed', message, { data });
}
