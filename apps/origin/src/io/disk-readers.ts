/**
 * Room: origin, io. Reads whole disks through their locks: hashing on all cores, and the guest inspector.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { CommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { type DiskDescription, describeDisk } from '@vmdn/core/io/hashing/describe-disk.ts';
import { createHashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import { inspectGuest } from '@vmdn/core/io/inspect/inspect-guest.ts';
import type { DiskReaders } from '../ports.ts';

type Described = Pick<DiskDescription, 'recipe' | 'digest' | 'keysRoot'>;

function bytesOf({ recipe, digest, keysRoot }: Described) {
  return { recipe, digest, keysRoot: keysRoot as string as Digest };
}

/** Readers that use `workDir`, a private folder, for temporary files. */
export function createDiskReaders(options: {
  readonly runner: CommandRunner;
  readonly workDir: string;
}): DiskReaders {
  // A VM has several disks, a scan several VMs: the threads stay for the next one, then end by themselves.
  const pool = createHashPool();
  return {
    async describeDisk({ socketPath, virtualSizeBytes }, signal) {
      const options = { socketPath, virtualSizeBytes, signal, pool, findsFree: true };
      const { withoutFree, free, ...whole } = await describeDisk(options);
      return { ...bytesOf(whole), withoutFree: bytesOf(withoutFree), free };
    },
    inspectGuest: (locked, signal) =>
      inspectGuest({ ...options, socketPaths: locked.map((disk) => disk.socketPath), signal }),
  };
}
