/**
 * Room: edge, services. The disks that this edge serves to others: its images, and what it has so far of the
 * disks that it is making.
 *
 * I1: a disk that the store holds is served from there, in whole.
 */

import type { DiskLibrary } from '@vmdn/core/io/ports/disk-library.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { SyncEngine } from '../sync/create-sync-engine.ts';

export function createHeldDisks(deps: {
  readonly store: Pick<ImageStore, 'find' | 'open'>;
  readonly engine: Pick<SyncEngine, 'making'>;
}): DiskLibrary {
  const { store, engine } = deps;
  return {
    open(digest) {
      const making = engine.making().find((disk) => disk.digest === digest);
      const isHeld = store.find(digest) !== undefined;
      return isHeld || making === undefined ? store.open(digest) : making.open();
    },
  };
}
