/**
 * Room: io, store. Who may read the images of a store: this process alone, or guests' users too, where a
 * hypervisor opens images by their paths and not by what we hand over.
 *
 * I1: guests' users see no names in the store: they open an image whose digest they know, and write none.
 * I2: rights are given before the fingerprint is taken: it has the time of their change.
 */

import { chmod, stat } from 'node:fs/promises';
import { ensurePrivateDir } from '../files/files.ts';
import { ensurePassableDir } from '../files/passable-dir.ts';

const ALL_READ = 0o644;

export interface ImageRights {
  /** Makes a directory in which images lie. */
  makeDir(path: string): Promise<void>;
  /** Gives the rights to an image and its directory; false when it had them. */
  give(dir: string, diskPath: string): Promise<boolean>;
}

export function imageRights(guestsRead: boolean): ImageRights {
  if (!guestsRead) return { makeDir: ensurePrivateDir, give: async () => false };
  return {
    makeDir: ensurePassableDir,
    async give(dir, diskPath) {
      await ensurePassableDir(dir);
      if (((await stat(diskPath)).mode & ALL_READ) === ALL_READ) return false;
      await chmod(diskPath, ALL_READ);
      return true;
    },
  };
}
