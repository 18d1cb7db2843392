/**
 * Room: origin, io. Reads whole disks through their locks: hashing on all cores, and the guest inspector.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { type DiskDescription, describeDisk } from '@vmdn/core/io/hashing/describe-disk.ts';
import { createHashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import type { DiskInspector } from '@vmdn/core/io/ports/guest-inspector.ts';
import type { DiskReaders } from '../ports.ts';

type Described = Pick<DiskDescription, 'recipe' | 'digest' | 'keysRoot'>;

function bytesOf({ recipe, digest, keysRoot }: Described) {
  return { recipe, digest, keysRoot: keysRoot as string as Digest };
}

/** Readers of disks; `inspect` tells what guest is on them. */
export function createDiskReaders(inspect: DiskInspector): DiskReaders {
  // A VM has several disks, a scan several VMs: the threads stay for the next one, then end by themselves.
  const pool = createHashPool();
  return {
    async describeDisk({ socketPath, virtualSizeBytes }, signal) {
      const options = { socketPath, virtualSizeBytes, signal, pool, findsFree: true };
      const { withoutFree, free, ...whole } = await describeDisk(options);
      return { ...bytesOf(whole), withoutFree: bytesOf(withoutFree), free };
    },
    inspectGuest: (locked, signal) =>
      inspect(
        locked.map((disk) => disk.socketPath),
        signal,
      ),
  };
}
