/**
 * Room: edge, services. The room that package images may take of the store. It is a cache: for one that
 * comes those go that were of no use for longest.
 *
 * I1: what is here and what is on its way never exceed the quota together; of what is on its way counts
 *     what its index promises, and what it turned out to be before it is adopted.
 * I2: nothing goes that is in use, and nothing goes for a newcomer that does not fit even so.
 * I3: requests are answered one after the other: two that fit alone but not together do not both pass.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { ImageStore, StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import type { EdgeEvents } from '../events.ts';
import type { ImageUses } from './image-uses.ts';

export interface PackageRoom {
  /** Promises room to a package, or another amount than before. Throws `quota_exceeded`. */
  take(sha256: Digest, bytes: number): Promise<void>;
  /** The package is in the store now, or never will be. */
  release(sha256: Digest): void;
}

interface Deps {
  readonly store: Pick<ImageStore, 'list' | 'remove'>;
  readonly uses: Pick<ImageUses, 'isInUse' | 'lastUse' | 'forget'>;
  readonly quotaBytes: number;
  readonly events: Pick<EdgeEvents, 'packageEvicted'>;
}

export function createPackageRoom(deps: Deps): PackageRoom {
  const promised = new Map<Digest, number>();
  let turn: Promise<unknown> = Promise.resolve();
  const take = async (sha256: Digest, bytes: number): Promise<void> => {
    let comingBytes = bytes;
    for (const [other, more] of promised) if (other !== sha256) comingBytes += more;
    await makeRoom(deps, bytes, comingBytes);
    promised.set(sha256, bytes);
  };
  return {
    take(sha256, bytes) {
      const mine = turn.then(() => take(sha256, bytes));
      turn = mine.catch(() => undefined);
      return mine;
    },
    release: (sha256) => void promised.delete(sha256),
  };
}

async function makeRoom(deps: Deps, neededBytes: number, comingBytes: number): Promise<void> {
  const { store, uses, quotaBytes, events } = deps;
  const images = store.list().filter(({ kind }) => kind === 'package');
  const usedBytes = images.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
  const missingBytes = usedBytes + comingBytes - quotaBytes;
  const leaving = leastUseful(images, uses, missingBytes);
  if (leaving === null) {
    throw new VmdnError(
      'quota_exceeded',
      'Packages that are in use have all the room of the store that packages may have; ' +
        'see VMDN_PACKAGES_QUOTA_BYTES.',
      { data: { usedBytes, neededBytes, quotaBytes } },
    );
  }
  // All are off the list before anything is waited for: no plan begins with one that goes.
  await Promise.all(
    leaving.map(async ({ digest, allocatedBytes }) => {
      await store.remove(digest);
      uses.forget(digest);
      events.packageEvicted(digest, allocatedBytes);
    }),
  );
}

/** Images whose going makes so much room, the least recently used first; null when there are not enough. */
function leastUseful(
  images: readonly StoredImage[],
  { isInUse, lastUse }: Deps['uses'],
  missingBytes: number,
): readonly StoredImage[] | null {
  const leaving: StoredImage[] = [];
  let bytes = 0;
  const unused = images
    .filter(({ digest }) => !isInUse(digest))
    .sort((a, b) => lastUse(a.digest) - lastUse(b.digest) || (a.digest < b.digest ? -1 : 1));
  for (const image of unused) {
    if (bytes >= missingBytes) break;
    leaving.push(image);
    bytes += image.allocatedBytes;
  }
  return bytes >= missingBytes ? leaving : null;
}
