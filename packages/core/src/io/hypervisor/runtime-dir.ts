/**
 * Room: io, hypervisor. The directories of sockets and pid files.
 *
 * I1: as root, guests' users may pass through the directory of VM sockets and see nothing in it (0711);
 *     each VM's own directory belongs to its user alone. As an ordinary user all of it is 0700.
 */

import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ensurePrivateDir } from '../files/files.ts';

export interface RuntimeDirs {
  /** Monitor sockets and pid files of VMs. */
  readonly vms: string;
  /** Sockets of disk exports; only ours. */
  readonly exports: string;
}

/** Makes the directories below `base`. Throws `forbidden` when somebody else owns them. */
export async function prepareRuntimeDirs(base: string): Promise<RuntimeDirs> {
  const dirs = { vms: join(base, 'vms'), exports: join(base, 'exports') };
  await mkdir(base, { recursive: true, mode: 0o711 });
  for (const dir of [base, dirs.vms, dirs.exports]) await ensurePrivateDir(dir);
  if (process.getuid?.() === 0) for (const dir of [base, dirs.vms]) await chmod(dir, 0o711);
  return dirs;
}
