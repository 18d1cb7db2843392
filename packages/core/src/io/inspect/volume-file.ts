/**
 * Room: io, inspect. A volume of a locked export as a file that e2fsprogs can open: by nbdfuse, which
 * shows the export's bytes as one read-only file, or, where FUSE is not to be had, as a sparse copy.
 *
 * I1: nothing of the guest is mounted: what FUSE shows is the disk's bytes, not its files.
 * I2: close() leaves no mount, no process and no file behind; a kill of this process leaves no mount, and
 *     files that the next start clears away (clearInspections).
 * I3: a copy is bounded: a volume with more than COPY_BYTES_MAX of data is not copied (`too_large`).
 */

import { access, constants, mkdir, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import type { Partition } from '../../formats/partition-table.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { readBoundedFile } from '../files/files.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import type { DiskReader } from './volumes.ts';

const FOLDER_PREFIX = 'inspect-';
const MOUNT_NAME = 'mnt';
/** Without FUSE: enough for a server's root file system; it is read and written once, then removed. */
const COPY_BYTES_MAX = 8 * 2 ** 30;
const COPY_PIECE_BYTES = 2 ** 20;
const FUSE_START_LIMIT_MS = 10_000;
const FUSE_POLL_MS = 20;

/** A file in which a volume begins at `offsetBytes`. */
export interface VolumeFile {
  /** Folder and name apart: the name needs no quoting and is used with the folder as working directory. */
  readonly dir: string;
  readonly name: string;
  offsetOf(volume: Partition): number;
  close(): Promise<void>;
}

export interface VolumeFileOptions {
  readonly socketPath: string;
  /** The volume that is wanted; a FUSE file shows the whole disk, a copy only this. */
  readonly volume: Partition;
  /** A private folder in which a temporary one is made. */
  readonly workDir: string;
  readonly runner: CommandRunner;
  readonly signal?: AbortSignal | undefined;
  /** Whether to try FUSE; default true. */
  readonly fuse?: boolean;
}

/**
 * Opens a volume as a file, by FUSE where that works. Throws `too_large`, `disk_full`, `unavailable`,
 * `cancelled`.
 */
export async function openVolumeFile(options: VolumeFileOptions): Promise<VolumeFile> {
  const dir = await mkdtemp(join(options.workDir, FOLDER_PREFIX));
  try {
    if (options.fuse !== false && (await isFuseThere())) {
      const shown = await showByFuse(dir, options);
      if (shown !== null) return shown;
    }
    return await copyVolume(dir, options);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

async function isFuseThere(): Promise<boolean> {
  try {
    await access('/dev/fuse', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Null when nbdfuse is missing or can't mount here: then a copy must do. */
async function showByFuse(dir: string, options: VolumeFileOptions): Promise<VolumeFile | null> {
  const { runner, socketPath, signal } = options;
  const mountPoint = join(dir, MOUNT_NAME);
  const pidFile = join(dir, 'pid');
  await mkdir(mountPoint, { mode: 0o700 });
  const server = runner.start(
    'nbdfuse',
    // fuse(8): fusermount3 stays, and unmounts when the server ends, however that ends.
    ['-r', '-o', 'auto_unmount', '-P', pidFile, join(mountPoint, 'disk'), '--unix', socketPath],
    { lifetime: 'with-parent', signal },
  );
  let hasEnded = false;
  const ended = server.exited.then(
    () => {
      hasEnded = true;
    },
    () => {
      hasEnded = true;
    },
  );
  const close = async (): Promise<void> => {
    await server.stop().catch(() => undefined);
    await ended;
    await removeShown(dir, runner);
  };
  for (let waitedMs = 0; waitedMs < FUSE_START_LIMIT_MS; waitedMs += FUSE_POLL_MS) {
    if (hasEnded) break;
    if (await hasContent(pidFile)) {
      return { dir: mountPoint, name: 'disk', offsetOf: (volume) => volume.offsetBytes, close };
    }
    await Promise.race([ended, pause(FUSE_POLL_MS)]);
  }
  if (signal?.aborted) {
    await close();
    throw new VmdnError('cancelled', 'The inspection was cancelled.');
  }
  await server.stop().catch(() => undefined);
  await unmount(dir, runner);
  return null;
}

/** Takes a mount away, should there be one: a killed server could not, and may be about to. */
async function unmount(dir: string, runner: CommandRunner): Promise<void> {
  await runner
    .run('fusermount3', ['-u', '-z', '--', join(dir, MOUNT_NAME)], { timeoutMs: 60_000 })
    .catch(() => undefined);
}

async function removeShown(dir: string, runner: CommandRunner): Promise<void> {
  await unmount(dir, runner);
  await rm(dir, { recursive: true, force: true });
}

/**
 * Removes what inspections left in a work folder when the process was killed. To be called before the first
 * one, by the only process that uses the folder.
 */
export async function clearInspections(workDir: string, runner: CommandRunner): Promise<void> {
  const names = await readdir(workDir).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(FOLDER_PREFIX))) {
    await removeShown(join(workDir, name), runner);
  }
}

async function hasContent(path: string): Promise<boolean> {
  try {
    return (await readBoundedFile(path, 64)).length > 0;
  } catch (error) {
    if (isVmdnError(error, 'not_found')) return false;
    throw error;
  }
}

/** Copies the volume's data; zeros become holes. */
async function copyVolume(dir: string, options: VolumeFileOptions): Promise<VolumeFile> {
  const { volume, signal } = options;
  const disk = await connectNbd({ socketPath: options.socketPath, signal });
  try {
    const file = await open(join(dir, 'volume'), 'wx', 0o600);
    try {
      await file.truncate(volume.lengthBytes);
      const piece = new Uint8Array(COPY_PIECE_BYTES);
      const zeros = Buffer.alloc(COPY_PIECE_BYTES);
      let copiedBytes = 0;
      for await (const [at, lengthBytes] of dataPieces(disk, volume)) {
        if (signal?.aborted) throw new VmdnError('cancelled', 'The inspection was cancelled.');
        const bytes = piece.subarray(0, lengthBytes);
        await disk.read(bytes, volume.offsetBytes + at);
        if (zeros.compare(bytes, 0, lengthBytes, 0, lengthBytes) === 0) continue;
        copiedBytes += lengthBytes;
        if (copiedBytes > COPY_BYTES_MAX) throw tooLarge();
        await file.write(bytes, 0, lengthBytes, at);
      }
    } finally {
      await file.close();
    }
  } finally {
    await disk.close();
  }
  return {
    dir,
    name: 'volume',
    offsetOf: () => 0,
    close: () => rm(dir, { recursive: true, force: true }),
  };
}

type StatusReader = DiskReader & {
  blockStatus(offsetBytes: number, lengthBytes: number): Promise<Uint32Array>;
};

/** NBD_STATE_ZERO. */
const EXTENT_ZERO = 2;

/** Pieces of the volume that may hold data, as [offset within it, length]. */
async function* dataPieces(
  disk: StatusReader,
  volume: Partition,
): AsyncGenerator<[number, number]> {
  for (let at = 0; at < volume.lengthBytes; ) {
    const wanted = Math.min(2 ** 30, volume.lengthBytes - at);
    const extents = await disk.blockStatus(volume.offsetBytes + at, wanted);
    for (let i = 0; i + 1 < extents.length; i += 2) {
      const end = Math.min(at + extents[i]!, volume.lengthBytes);
      const isZero = (extents[i + 1]! & EXTENT_ZERO) !== 0;
      for (let from = at; !isZero && from < end; from += COPY_PIECE_BYTES) {
        yield [from, Math.min(COPY_PIECE_BYTES, end - from)];
      }
      at = end;
    }
    if (extents.length < 2) throw new VmdnError('corrupt', 'The export gave no block status.');
  }
}

function tooLarge(): VmdnError {
  return new VmdnError(
    'too_large',
    'The guest is too large to inspect without FUSE; load the fuse module (/dev/fuse).',
    { data: { copyBytesMax: COPY_BYTES_MAX } },
  );
}
