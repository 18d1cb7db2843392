/**
 * Room: edge, services. What guests the images of this edge are: which packages' blocks are here already, and
 * which images a functional copy can start from.
 *
 * I1: only a hint: an image that can't be inspected is nobody's, and nothing fails because of it.
 * I2: an image is inspected once; what was found is kept over restarts.
 */

import type { InstalledPackage, OperatingSystem } from '@vmdn/core/domain/description.ts';
import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { GuestInspector } from '@vmdn/core/io/ports/guest-inspector.ts';
import type { ImageStore, StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import { layersOf } from './image-layers.ts';
import { packageKey } from './package-key.ts';

export interface KnownGuest {
  /** Null: none was found. */
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
}

export interface KnownGuests {
  /** The images of this edge with what is on them, packages' own images left out. Throws `cancelled`. */
  images(signal: AbortSignal): Promise<readonly (KnownGuest & { readonly image: StoredImage })[]>;
  /** All that they have installed, as packageKey has it. Throws `cancelled`. */
  packages(signal: AbortSignal): Promise<ReadonlySet<string>>;
}

interface Deps {
  readonly store: Pick<ImageStore, 'list'>;
  readonly inspect: GuestInspector;
  readonly records: Records<KnownGuest>;
  readonly events: EdgeEvents;
}

export function createKnownGuests(deps: Deps): KnownGuests {
  const images: KnownGuests['images'] = async (signal) => {
    const found = [];
    for (const image of deps.store.list()) {
      if (image.kind === 'package') continue;
      found.push({ image, ...(await guestOf(deps, image, signal)) });
    }
    return found;
  };
  return {
    images,
    async packages(signal) {
      const found = await images(signal);
      return new Set(found.flatMap(({ packages }) => packages.map(packageKey)));
    },
  };
}

async function guestOf(
  { inspect, records, events }: Deps,
  image: StoredImage,
  signal: AbortSignal,
): Promise<KnownGuest> {
  const known = await records.read(image.digest);
  if (known !== null) return known;
  let found: KnownGuest = { os: null, packages: [] };
  try {
    const { os, packages } = await inspect(layersOf(image), signal);
    found = { os, packages };
  } catch (error) {
    if (signal.aborted || isVmdnError(error, 'cancelled')) throw error;
    events.imageNotInspected(image.digest, describeError(error));
  }
  await records.write(image.digest, found);
  return found;
}
