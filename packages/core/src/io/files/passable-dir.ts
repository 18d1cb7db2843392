/**
 * Room: io, files. Places of ours that guests' users may pass through: they open what they know the name
 * of, and see no names.
 *
 * I1: several processes of ours may share such a directory: its rights are never narrowed, not even for a
 *     moment.
 * I2: a directory on the way that guests' users could not pass is told at the start, not at the first VM.
 */

import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import { fileError } from './files.ts';

const PASSABLE = 0o711;
const OTHERS_PASS = 0o001;

/**
 * Makes `path` a directory of root's that others pass through (0711), with its parents. Throws `forbidden`.
 */
export async function ensurePassableDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: PASSABLE });
    const { uid, mode } = await stat(path);
    if (uid !== 0)
      throw new VmdnError('forbidden', `${path} does not belong to root; choose another.`);
    if ((mode & 0o777) !== PASSABLE) await chmod(path, PASSABLE);
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Makes sure that others come as far as `path`; `setting` names who chose it. Throws `forbidden`. */
export async function requirePassableParents(path: string, setting: string): Promise<void> {
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    if (((await stat(dir)).mode & OTHERS_PASS) === 0) {
      throw new VmdnError(
        'forbidden',
        `Guests' users can't pass through ${dir}; run "chmod o+x ${dir}", or set ${setting}.`,
        { data: { dir } },
      );
    }
    if (dir === dirname(dir)) return;
  }
}
