/**
 * Room: origin, io. Gives the files of moved VMs other names, and their own again.
 *
 * I1: no file is written over: a name that is taken is an error, and nothing is changed.
 * I2: after `hide` no path leads to the file but the fenced one: a file with another hard link is refused
 *     before.
 */

import { lstat, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { fileError, fsyncDir } from '@vmdn/core/io/files/files.ts';
import type { FencedFile, FenceFiles } from '../fence-ports.ts';

export function createFenceFiles(): FenceFiles {
  return {
    check: checkFile,
    async hide(file) {
      await checkFile(file);
      await giveName(file.from, file.to);
    },
    async restore({ from, to }) {
      if (!(await exists(to))) return;
      if (await exists(from)) {
        const words = `${from} is there again while the moved VM's disk is ${to}: take one of them away.`;
        throw new VmdnError('conflict', words, { data: { from, to } });
      }
      await giveName(to, from);
    },
    async hidden(files) {
      const found = await Promise.all(files.map(({ to }) => exists(to)));
      return files.filter((_, i) => found[i]);
    },
  };
}

async function checkFile({ from, to }: FencedFile): Promise<void> {
  try {
    const found = await lstat(from);
    if (!found.isFile() || found.nlink !== 1) {
      const words =
        `${from} has another name too (a hard link), by which its VM could be started; ` +
        'remove that name.';
      throw new VmdnError('conflict', words, { data: { from, links: found.nlink } });
    }
  } catch (error) {
    throw fileError(error, from);
  }
  if (!(await exists(to))) return;
  throw new VmdnError('conflict', `${to} is there already; take it away.`, { data: { to } });
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw fileError(error, path);
  }
}

async function giveName(present: string, wanted: string): Promise<void> {
  try {
    await rename(present, wanted);
    await fsyncDir(dirname(wanted));
  } catch (error) {
    throw fileError(error, present);
  }
}
