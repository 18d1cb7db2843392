/**
 * Room: io, functional. The disks of functional copies, in a folder for each VM.
 *
 * I1: a copy is the one that was sealed, or it is not used: its overlay and the image below it may not change
 *     by a byte once a guest stands on them.
 * I2: names are Ids: nothing from outside becomes a path.
 */

import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { describeDisk } from '../hashing/describe-disk.ts';
import type { HashPool } from '../hashing/hash-pool.ts';
import type { FunctionalFiles } from '../ports/functional-copy.ts';
import { imageFingerprint } from '../store/image-record.ts';
import type { ImageRights } from '../store/image-rights.ts';

const DISK = 'disk.qcow2';

export function createFunctionalFiles(means: {
  readonly dir: string;
  readonly rights: ImageRights;
  readonly runner: CommandRunner;
  /** Where export sockets go; private, short. */
  readonly socketDir: string;
  readonly pool: HashPool;
}): FunctionalFiles {
  const { dir, rights, runner, socketDir, pool } = means;
  const folderOf = (vm: string): string => join(dir, vm);
  return {
    path: (vm) => join(folderOf(vm), DISK),
    async prepare(vm) {
      await rm(folderOf(vm), { recursive: true, force: true });
      await rights.makeDir(dir);
      await rights.makeDir(folderOf(vm));
    },
    async seal(layers, signal) {
      await rights.give(dirname(layers[0]!.path), layers[0]!.path);
      const seal = await imageFingerprint(layers[0]!.path);
      const disk = await openDiskExport({ layers, socketDir, runner, signal });
      try {
        const { socketPath, virtualSizeBytes } = disk;
        const { digest } = await describeDisk({ socketPath, virtualSizeBytes, signal, pool });
        return { digest, seal };
      } finally {
        await disk.close();
      }
    },
    async isSealed(vm, seal) {
      const now = await imageFingerprint(join(folderOf(vm), DISK)).catch(() => null);
      return now !== null && Object.entries(now).every(([fact, value]) => seal[fact] === value);
    },
    remove: (vm) => rm(folderOf(vm), { recursive: true, force: true }),
  };
}
