/**
 * Room: io, hypervisor. The directories of sockets and pid files.
 *
 * I1: as root, guests' users may pass through the directory of VM sockets and see nothing in it (0711);
 *     each VM's own directory belongs to its user alone. As an ordinary user all of it is 0700.
 * I2: a directory on the way that guests' users could not pass is told at the start (files/passable-dir.ts).
 */

import { join } from 'node:path';
import { ensurePrivateDir } from '../files/files.ts';
import { ensurePassableDir, requirePassableParents } from '../files/passable-dir.ts';

export interface RuntimeDirs {
  /** Monitor sockets and pid files of VMs. */
  readonly vms: string;
  /** Sockets by which VMs read disks that are on their way, in a directory of each VM's own. */
  readonly lazy: string;
  /** Sockets of disk exports; only ours. */
  readonly exports: string;
}

/** Makes the directories below `base`, an absolute path. Throws `forbidden`. */
export async function prepareRuntimeDirs(base: string): Promise<RuntimeDirs> {
  const dirs = {
    vms: join(base, 'vms'),
    lazy: join(base, 'nbd'),
    exports: join(base, 'exports'),
  };
  const passable = [base, dirs.vms, dirs.lazy];
  if (process.getuid?.() === 0) {
    for (const dir of passable) await ensurePassableDir(dir);
    await requirePassableParents(base, 'VMDN_RUNTIME_DIR');
  } else {
    for (const dir of passable) await ensurePrivateDir(dir);
  }
  await ensurePrivateDir(dirs.exports);
  return dirs;
}
