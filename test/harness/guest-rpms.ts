/**
 * Room: test, harness. The repository that the RPM guest carries: its packages as a mirror serves them.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { findGuest } from '@vmdn/infra/lab/guests.ts';

/** Where its only file system begins (infra/guests, guest_start_sector). */
const VOLUME_AT = 2048 * 512;
const RDUMP_MS_MAX = 120_000;

/** Reads it out of the guest's disk by way of `dir`. Bytes by path below the repository. */
export async function guestRepository(
  dir: string,
): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const { disk } = await findGuest('rpm-site');
  const volume = `${disk.path}?offset=${VOLUME_AT}`;
  const args = ['-R', `rdump /media/repository ${dir}`, volume];
  await createCommandRunner().run('debugfs', args, { timeoutMs: RDUMP_MS_MAX });
  const root = join(dir, 'repository');
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(root.length + 1), await readFile(path));
  }
  if (!files.has('repodata/repomd.xml')) throw new Error('rpm-site carries no repository.');
  return files;
}
