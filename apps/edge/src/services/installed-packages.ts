/**
 * Room: edge, services. Which packages the images of this edge have installed: their blocks are here, so
 * their packages need not be fetched.
 *
 * I1: only a hint: an image that can't be inspected has none, and nothing fails because of it.
 * I2: an image is inspected once; what was found is kept over restarts.
 */

import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { GuestInspector } from '@vmdn/core/io/ports/guest-inspector.ts';
import type { ImageStore, StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import { packageKey } from './package-key.ts';

/** Packages of one image, each as one word (packageKey). */
export type InstalledRecord = readonly string[];

export interface InstalledPackages {
  /** All that the images here have installed, as packageKey has them. Throws `cancelled`. */
  here(signal: AbortSignal): Promise<ReadonlySet<string>>;
}

interface Deps {
  readonly store: Pick<ImageStore, 'list'>;
  readonly inspect: GuestInspector;
  readonly records: Records<InstalledRecord>;
  readonly events: EdgeEvents;
}

export function createInstalledPackages(deps: Deps): InstalledPackages {
  return {
    async here(signal) {
      const all = new Set<string>();
      for (const image of deps.store.list()) {
        if (image.kind === 'package') continue;
        for (const key of await packagesOf(deps, image, signal)) all.add(key);
      }
      return all;
    },
  };
}

async function packagesOf(
  { inspect, records, events }: Deps,
  image: StoredImage,
  signal: AbortSignal,
): Promise<InstalledRecord> {
  const known = await records.read(image.digest);
  if (known !== null) return known;
  let found: InstalledRecord = [];
  try {
    const { packages } = await inspect(image.path, signal);
    found = packages.map(packageKey);
  } catch (error) {
    if (signal.aborted || isVmdnError(error, 'cancelled')) throw error;
    events.imageNotInspected(image.digest, describeError(error));
  }
  await records.write(image.digest, found);
  return found;
}
