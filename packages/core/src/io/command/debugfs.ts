/**
 * Room: io, command. debugfs(8) of e2fsprogs: reads files of an ext file system that nobody mounts.
 *
 * I1: a hostile file system may crash or stall the tool, not us: memory, processor time, wall time and
 *     output are bounded, and it opens the volume for reading only (-c: without the bitmaps).
 * I2: requests are made of fixed words and of paths that need no quoting (isSafeGuestPath).
 */

import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import {
  type DebugfsEntry,
  type DebugfsInode,
  isSafeGuestPath,
  parseDebugfsList,
  parseDebugfsStat,
} from '../../formats/debugfs-output.ts';
import type { CommandRunner } from './command-runner.ts';
import { missingToolMessage } from './tool-packages.ts';

/** Address space: a sound file system of 8 TiB needs some 100 MB. */
const MEMORY_BYTES_MAX = 2 * 2 ** 30;
const PROCESSOR_SECONDS_MAX = 20;
const TIMEOUT_MS = 30_000;
const LIST_BYTES_MAX = 4 * 2 ** 20;

export interface ExtVolume {
  /** The file's folder (working directory of the tool) and its plain name in it. */
  readonly dir: string;
  readonly name: string;
  readonly offsetBytes: number;
}

export interface Debugfs {
  /** Null when there is no such file. Links in the last step are not followed. */
  stat(path: string): Promise<DebugfsInode | null>;
  /** Entries of a folder; none when there is no such folder. */
  list(path: string): Promise<DebugfsEntry[]>;
  /** A regular file's content as text. Throws `too_large`. */
  read(path: string, bytesMax: number): Promise<string>;
}

/** Reads one volume. Methods throw `tool_missing`, `tool_failed`, `timeout`, `cancelled`, `invalid_input`. */
export function createDebugfs(
  runner: CommandRunner,
  volume: ExtVolume,
  signal?: AbortSignal,
): Debugfs {
  const request = async (word: string, path: string, maxOutputBytes: number): Promise<string> => {
    if (!isSafeGuestPath(path)) {
      throw new VmdnError('invalid_input', 'A guest path with unusual characters is not read.', {
        data: { path: path.slice(0, 200) },
      });
    }
    const limits = [`--as=${MEMORY_BYTES_MAX}`, `--cpu=${PROCESSOR_SECONDS_MAX}`];
    const device = `${volume.name}?offset=${volume.offsetBytes}`;
    const args = [...limits, '--', 'debugfs', '-c', '-R', `${word} ${path}`, device];
    try {
      const options = { timeoutMs: TIMEOUT_MS, cwd: volume.dir, maxOutputBytes, signal };
      return (await runner.run('prlimit', args, options)).stdout;
    } catch (error) {
      throw isMissing(error) ? new VmdnError('tool_missing', missingToolMessage('debugfs')) : error;
    }
  };
  return {
    stat: async (path) => parseDebugfsStat(await request('stat', path, LIST_BYTES_MAX)),
    list: async (path) => parseDebugfsList(await request('ls -p', path, LIST_BYTES_MAX)),
    async read(path, bytesMax) {
      const inode = parseDebugfsStat(await request('stat', path, LIST_BYTES_MAX));
      if (inode?.type !== 'regular') {
        throw new VmdnError('not_found', `The guest has no regular file ${path}.`);
      }
      if (inode.sizeBytes > bytesMax) {
        throw new VmdnError('too_large', `The guest's ${path} is larger than ${bytesMax} bytes.`);
      }
      return await request('cat', path, bytesMax);
    },
  };
}

/** prlimit says so itself when it can't find what it should run. */
function isMissing(error: unknown): boolean {
  return isVmdnError(error, 'tool_failed') && /failed to execute debugfs/.test(error.message);
}
