/**
 * Room: edge, composition root. Wires functional copies: what makes them, where they lie, and the disks that
 * are lent for them.
 *
 * I1: what a killed process left of jobs under way is gone at the start; finished copies stay.
 */

import { join } from 'node:path';
import type { Appliance } from '@vmdn/core/io/appliance/appliance.ts';
import type { CommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { emptyPrivateDir } from '@vmdn/core/io/files/files.ts';
import { openImageDisk } from '@vmdn/core/io/files/image-disk.ts';
import { createFunctionalCopier } from '@vmdn/core/io/functional/functional-copier.ts';
import { createFunctionalFiles } from '@vmdn/core/io/functional/functional-files.ts';
import type { HashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import { clearExports, nbdExports } from '@vmdn/core/io/nbd/export-server.ts';
import type { PackageMirrors } from '@vmdn/core/io/ports/package-mirrors.ts';
import { imageRights } from '@vmdn/core/io/store/image-rights.ts';
import type { EdgeEvents } from './events.ts';
import { createFunctionalCopies, type FunctionalCopies } from './services/functional-copies.ts';
import type { LendMeans } from './services/lend-disk.ts';
import { LazyDisk } from './sync/lazy-disk.ts';

/** Folders of jobs under way, below the state directory. */
const JOBS = ['appliance-jobs', 'functional-jobs'] as const;

/** Makes the folders of jobs, empty (I1). Returns the appliance's. */
export async function openJobFolders(stateDir: string): Promise<string> {
  for (const name of JOBS) await emptyPrivateDir(join(stateDir, name));
  return join(stateDir, JOBS[0]);
}

/** What it takes to lend disks to programs of this edge. */
export function lendMeans(exportsDir: string, events: EdgeEvents): Omit<LendMeans, 'store'> {
  return {
    exportsDir,
    serveExports: nbdExports(events.lazyDiskFailed),
    clearExports,
    lazyDisk: (recipe) => new LazyDisk(recipe),
    openImage: ({ layers, virtualSizeBytes }) => openImageDisk(layers, virtualSizeBytes),
  };
}

export function wireCopies(
  stateDir: string,
  parts: Pick<
    Parameters<typeof createFunctionalCopies>[0],
    'store' | 'guests' | 'deliveries' | 'costs'
  > & {
    readonly appliance: Appliance;
    readonly runner: CommandRunner;
    readonly mirrors: PackageMirrors;
    readonly socketDir: string;
    readonly guestsRead: boolean;
    readonly pool: HashPool;
    readonly events: EdgeEvents;
  },
): FunctionalCopies {
  const { store, guests, deliveries, costs, events } = parts;
  const { appliance, runner, mirrors, socketDir, pool } = parts;
  const workDir = join(stateDir, JOBS[1]);
  const rights = imageRights(parts.guestsRead);
  const dir = join(stateDir, 'functional');
  return createFunctionalCopies({
    ...{ store, guests, deliveries, costs, events },
    files: createFunctionalFiles({ dir, rights, runner, socketDir, pool }),
    copy: createFunctionalCopier({
      ...{ appliance, runner, mirrors, store, workDir },
      qemuImg: createQemuImg(runner),
    }),
  });
}
