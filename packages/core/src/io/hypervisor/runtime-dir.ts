/**
 * Room: io, hypervisor. The directories of sockets and pid files.
 *
 * I1: as root, guests' users may pass through the directory of VM sockets and see nothing in it (0711);
 *     each VM's own directory belongs to its user alone. As an ordinary user all of it is 0700.
 * I2: a directory on the way that guests' users could not pass is told at the start, not at the first VM.
 */

import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import { ensurePrivateDir, fileError } from '../files/files.ts';

export interface RuntimeDirs {
  /** Monitor sockets and pid files of VMs. */
  readonly vms: string;
  /** Sockets by which VMs read disks that are on their way, in a directory of each VM's own. */
  readonly lazy: string;
  /** Sockets of disk exports; only ours. */
  readonly exports: string;
}

const PASSABLE = 0o711;
const OTHERS_PASS = 0o001;

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
    await requirePassableParents(base);
  } else {
    for (const dir of passable) await ensurePrivateDir(dir);
  }
  await ensurePrivateDir(dirs.exports);
  return dirs;
}

/** Several edges may share the directory: its rights are never narrowed, not even for a moment. */
async function ensurePassableDir(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: PASSABLE });
    const { uid, mode } = await stat(dir);
    if (uid !== 0)
      throw new VmdnError('forbidden', `${dir} does not belong to root; choose another.`);
    if ((mode & 0o777) !== PASSABLE) await chmod(dir, PASSABLE);
  } catch (error) {
    throw fileError(error, dir);
  }
}

async function requirePassableParents(base: string): Promise<void> {
  for (let dir = dirname(base); ; dir = dirname(dir)) {
    if (((await stat(dir)).mode & OTHERS_PASS) === 0) {
      throw new VmdnError(
        'forbidden',
        `Guests' users can't pass through ${dir}; run "chmod o+x ${dir}", or set VMDN_RUNTIME_DIR.`,
        { data: { dir } },
      );
    }
    if (dir === dirname(dir)) return;
  }
}
