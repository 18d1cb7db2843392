/**
 * Room: io, files. The few file-system helpers that everybody needs, and the translation of errno.
 *
 * I1: what is read has a size limit that is checked against the bytes that came, not only against `stat`.
 * I2: a private directory is 0700 and owned by us, or an error: never silently shared.
 * I3: directories that have to be made on the way to a private one are for others to pass (0711): what else
 *     comes to lie there is not ours alone.
 */

import { constants, type FileHandle, lstat, mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ErrorCode, VmdnError } from '../../domain/errors.ts';

/** What the names of unfinished files end in; see durable-write.ts. */
export const TEMP_SUFFIX = '.vmdn-tmp';

/** One read(2) takes less than 2 GiB. */
const READ_BYTES_MAX = 2 ** 30;

const CODE_OF_ERRNO: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'not_found',
  ENOTDIR: 'not_found',
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  EROFS: 'forbidden',
  ELOOP: 'forbidden',
  ENOSPC: 'disk_full',
  EDQUOT: 'disk_full',
  EFBIG: 'disk_full',
  EMFILE: 'busy',
  ENFILE: 'busy',
  EIO: 'corrupt',
};

const WORDS: Partial<Record<ErrorCode, string>> = {
  not_found: 'does not exist',
  forbidden: 'may not be opened or written by this user',
  disk_full: 'cannot be written: the disk is full; free some space',
  busy: 'cannot be opened: too many open files; raise the limit (ulimit -n)',
  corrupt: 'cannot be read: the disk reports an input/output error',
};

/** A VmdnError for what node:fs threw about `path`; a VmdnError comes back as it is. */
export function fileError(error: unknown, path: string): unknown {
  if (error instanceof VmdnError || !(error instanceof Error)) return error;
  const errno = 'code' in error ? String(error.code) : '';
  const code = CODE_OF_ERRNO[errno];
  if (code === undefined) return error;
  return new VmdnError(code, `${path} ${WORDS[code]}.`, { data: { path, errno }, cause: error });
}

/** Makes `path` a directory that only we can enter (0700), and those on the way. Throws `forbidden`. */
export async function ensurePrivateDir(path: string): Promise<void> {
  await (await takePrivateDir(path)).close();
}

/** The same, with nothing in it: for the start of the one process that owns it. */
export async function emptyPrivateDir(path: string): Promise<void> {
  await removeDir(path);
  await ensurePrivateDir(path);
}

/** Removes `path` with all that is in it, if it is there. */
export async function removeDir(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/**
 * The same, open: for who hands it on. It may be what was handed to `formerUid` before. Throws `forbidden`.
 */
export async function takePrivateDir(path: string, formerUid?: number): Promise<FileHandle> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o711 });
    await mkdir(path, { recursive: true, mode: 0o700 });
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
    const directory = await open(path, flags);
    try {
      const { uid, mode } = await directory.stat();
      const own = process.getuid?.() ?? uid;
      if (uid !== own && uid !== formerUid) {
        throw new VmdnError('forbidden', `${path} belongs to another user; choose another place.`, {
          data: { path, uid },
        });
      }
      if (uid !== own) await directory.chown(own, process.getgid?.() ?? own);
      if ((mode & 0o777) !== 0o700) await directory.chmod(0o700);
      return directory;
    } catch (error) {
      await directory.close();
      throw error;
    }
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Reads a whole file of at most `maxBytes`. Throws `too_large`, `not_found`, `forbidden`. */
export async function readBoundedFile(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { size } = await file.stat();
      if (size > maxBytes) throw tooLarge(path, maxBytes);
      // One byte more than expected tells a file that grew from one that did not.
      let bytes = new Uint8Array(size + 1);
      let length = 0;
      for (;;) {
        const room = Math.min(bytes.length - length, READ_BYTES_MAX);
        const { bytesRead } = await file.read(bytes, length, room, length);
        if (bytesRead === 0) return bytes.subarray(0, length);
        length += bytesRead;
        if (length > maxBytes) throw tooLarge(path, maxBytes);
        if (length === bytes.length) {
          const larger = new Uint8Array(Math.min(maxBytes + 1, length * 2));
          larger.set(bytes);
          bytes = larger;
        }
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Makes names in `directory` durable (a rename, a removal). */
export async function fsyncDir(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Removes unfinished files directly in `directory`. For the start of the one process that owns it.
 * Returns how many there were.
 */
export async function sweepTemps(directory: string): Promise<number> {
  let swept = 0;
  for (const name of await readdir(directory)) {
    if (!name.endsWith(TEMP_SUFFIX)) continue;
    const path = join(directory, name);
    if (!(await lstat(path)).isFile()) continue;
    await rm(path, { force: true });
    swept += 1;
  }
  return swept;
}

function tooLarge(path: string, maxBytes: number): VmdnError {
  return new VmdnError('too_large', `${path} is larger than ${maxBytes} bytes.`, {
    data: { path, maxBytes },
  });
}
