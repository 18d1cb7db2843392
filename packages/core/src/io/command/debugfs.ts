/**
 * Room: io, command. debugfs(8) of e2fsprogs: reads files of an ext file system that nobody mounts.
 *
 * I1: a hostile file system may crash or stall the tool, not us: memory, processor time, wall time and
 *     output are bounded, and it opens the volume for reading only (-c: without the bitmaps).
 * I2: requests are made of fixed words and of paths that need no quoting (isSafeGuestPath).
 * I3: where many are made at once, no name of the guest can pass for the end of an answer.
 */

import { randomBytes } from 'node:crypto';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import {
  type DebugfsEntry,
  type DebugfsInode,
  isSafeGuestPath,
  parseDebugfsList,
  parseDebugfsStat,
} from '../../formats/debugfs-output.ts';
import type { CommandRunner, RunOptions } from './command-runner.ts';
import { missingToolMessage } from './tool-packages.ts';

/** Address space: a sound file system of 8 TiB needs some 100 MB. */
const MEMORY_BYTES_MAX = 2 * 2 ** 30;
const PROCESSOR_SECONDS_MAX = 20;
const TIMEOUT_MS = 30_000;
const LIST_BYTES_MAX = 4 * 2 ** 20;
/** Of all answers of one start of the tool. */
const ANSWERS_BYTES_MAX = 16 * 2 ** 20;
/** Folders of units, of servers' configurations: a guest that has more of them waits longer. */
const REQUESTS_AT_ONCE = 400;
/** Small files that are read more than once: os-release, fstab. */
const KEPT_CHARACTERS_MAX = 64 * 1024;

export interface ExtVolume {
  /** The file's folder (working directory of the tool) and its plain name in it. */
  readonly dir: string;
  readonly name: string;
  readonly offsetBytes: number;
}

/** A place to look at, and how many steps below it. */
export interface LookedUp {
  readonly path: string;
  readonly depth: number;
}

export interface Debugfs {
  /** Null when there is no such file. Links in the last step are not followed. */
  stat(path: string): Promise<DebugfsInode | null>;
  /** Entries of a folder; none when there is no such folder. */
  list(path: string): Promise<DebugfsEntry[]>;
  /** A regular file's content as text. Throws `too_large`. */
  read(path: string, bytesMax: number): Promise<string>;
  /**
   * Looks at these places, and at folders below them, in as many starts of the tool as they are deep: what is
   * asked of them afterwards is known. Throws `tool_missing`, `cancelled`.
   */
  lookUp(places: readonly LookedUp[]): Promise<void>;
}

type RunMore = Pick<RunOptions, 'input' | 'maxOutputBytes'>;
type Word = 'stat' | 'ls -p' | 'cat';

/** Reads one volume. Methods throw `tool_missing`, `tool_failed`, `timeout`, `cancelled`, `invalid_input`. */
export function createDebugfs(
  runner: CommandRunner,
  volume: ExtVolume,
  signal?: AbortSignal,
): Debugfs {
  /** By request. */
  const known = new Map<string, string>();
  const run = async (args: readonly string[], more: RunMore): Promise<string> => {
    const limits = [`--as=${MEMORY_BYTES_MAX}`, `--cpu=${PROCESSOR_SECONDS_MAX}`];
    const device = `${volume.name}?offset=${volume.offsetBytes}`;
    const all = [...limits, '--', 'debugfs', '-c', ...args, device];
    try {
      const options = { timeoutMs: TIMEOUT_MS, cwd: volume.dir, signal, ...more };
      return (await runner.run('prlimit', all, options)).stdout;
    } catch (error) {
      throw isMissing(error) ? new VmdnError('tool_missing', missingToolMessage('debugfs')) : error;
    }
  };
  const request = async (word: Word, path: string, maxOutputBytes: number): Promise<string> => {
    if (!isSafeGuestPath(path)) {
      throw new VmdnError('invalid_input', 'A guest path with unusual characters is not read.', {
        data: { path: path.slice(0, 200) },
      });
    }
    const line = `${word} ${path}`;
    return known.get(line) ?? (await run(['-R', line], { maxOutputBytes }));
  };
  /** Answers to many requests by one start of the tool, which says each request before its answer. */
  const ask = async (lines: readonly string[]): Promise<void> => {
    // What a guest's names say can't be taken for the end of an answer: they don't know this word.
    const mark = randomBytes(16).toString('hex');
    const input = lines.map((line, i) => `${line}\nstat /${mark}-${i}\n`).join('');
    const text = await run(['-f', '-'], { input, maxOutputBytes: ANSWERS_BYTES_MAX });
    let from = 0;
    for (const [i, line] of lines.entries()) {
      const end = text.indexOf(`debugfs: stat /${mark}-${i}\n`, from);
      const said = `debugfs: ${line}\n`;
      if (end === -1 || !text.startsWith(said, from)) return;
      known.set(line, text.slice(from + said.length, end));
      from = text.indexOf('\n', end) + 1;
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
      const text = await request('cat', path, bytesMax);
      if (text.length <= KEPT_CHARACTERS_MAX) known.set(`cat ${path}`, text);
      return text;
    },
    async lookUp(places) {
      let folders = places.filter(({ depth }) => depth > 0);
      let lines = [
        ...places.map(({ path }) => `stat ${path}`),
        ...folders.map(({ path }) => `ls -p ${path}`),
      ];
      while (lines.length > 0) {
        try {
          await ask(lines.slice(0, REQUESTS_AT_ONCE));
        } catch (error) {
          // A request that breaks the tool fails by itself, when somebody needs its answer.
          if (isVmdnError(error, 'tool_failed') || isVmdnError(error, 'timeout')) return;
          if (isVmdnError(error, 'too_large')) return;
          throw error;
        }
        folders = folders.flatMap((folder) => foldersBelow(folder, known));
        lines = folders.map(({ path }) => `ls -p ${path}`);
      }
    },
  };
}

/** Folders in a folder that was listed, as far as it is to be looked into. */
function foldersBelow({ path, depth }: LookedUp, known: ReadonlyMap<string, string>): LookedUp[] {
  if (depth < 2) return [];
  return parseDebugfsList(known.get(`ls -p ${path}`) ?? '')
    .filter((entry) => entry.isDirectory)
    .map((entry) => ({ path: `${path}/${entry.name}`, depth: depth - 1 }))
    .filter((folder) => isSafeGuestPath(folder.path));
}

/** prlimit says so itself when it can't find what it should run. */
function isMissing(error: unknown): boolean {
  return isVmdnError(error, 'tool_failed') && /failed to execute debugfs/.test(error.message);
}
