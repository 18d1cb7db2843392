/**
 * Room: edge, services. Package images of this edge: fetched from a mirror, unpacked, in the store.
 *
 * I1: a package file is fetched once, however many disks want it at the same time.
 * I2: a package counts as here only while the store holds its image.
 * I3: package images take no more of the store than their quota; one that would not fit is not begun.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { PACKAGE_UNPACKER_VERSION } from '@vmdn/core/formats/package-recipe.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { PackageMirrors, ResolvedPackage } from '@vmdn/core/io/ports/package-mirrors.ts';
import type { PackageUnpacker } from '@vmdn/core/io/ports/package-unpacker.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import type { PackageImageRecord, PackageRecipes } from './package-recipes.ts';
import { createTurns } from './turns.ts';

export interface PackageImages {
  /** Whether the store holds the image of the package file with this SHA-256. */
  has(sha256: Digest): Promise<boolean>;
  /**
   * Fetches, unpacks and adopts a package that is not here. Throws `quota_exceeded`, and what mirrors,
   * unpacker and store throw.
   */
  fetch(resolved: ResolvedPackage, signal: AbortSignal): Promise<FetchedPackage>;
}

/** Bytes that came from the mirror, and what they held; both 0 for one that was here already. */
export interface FetchedPackage {
  readonly wireBytes: number;
  readonly unpackedBytes: number;
}

const HERE_ALREADY: FetchedPackage = { wireBytes: 0, unpackedBytes: 0 };

interface Deps {
  readonly store: ImageStore;
  readonly mirrors: PackageMirrors;
  readonly unpacker: PackageUnpacker;
  readonly records: Records<PackageImageRecord>;
  readonly recipes: PackageRecipes;
  readonly quotaBytes: number;
  readonly events: EdgeEvents;
}

export function createPackageImages(deps: Deps): PackageImages {
  const turns = createTurns();
  const has = async (sha256: Digest): Promise<boolean> => {
    const record = await deps.records.read(sha256);
    return record !== null && deps.store.find(record.digest) !== undefined;
  };
  return {
    has,
    fetch: (resolved, signal) =>
      turns.inTurn(resolved.sha256, async () => {
        if (await has(resolved.sha256)) return HERE_ALREADY;
        signal.throwIfAborted();
        return await fetchOne(deps, resolved, signal);
      }),
  };
}

async function fetchOne(
  deps: Deps,
  resolved: ResolvedPackage,
  signal: AbortSignal,
): Promise<FetchedPackage> {
  const { store, mirrors, unpacker, records, recipes, events } = deps;
  const { sha256, sizeBytes, format, name } = resolved;
  requireQuota(deps, resolved);
  const key = `package-${sha256}` as const;
  const stagingDir = store.stagingDir(key);
  await store.reserve({ key, bytes: bytesOf(resolved), paths: [`${stagingDir}/disk.raw`] });
  let wireBytes = 0;
  try {
    const onWireBytes = (count: number): void => {
      wireBytes += count;
    };
    const file = await mirrors.open(resolved, { signal, onWireBytes });
    const expected = { sha256, sizeBytes };
    const order = { format, name, bytes: file, expected, stagingDir, signal };
    const { digest, keysRoot, nonZeroBytes } = await unpacker.unpack(order);
    const image = await store.adopt({ stagingDir, digest, keysRoot, name: null, kind: 'package' });
    await records.write(sha256, { unpacker: PACKAGE_UNPACKER_VERSION, digest, keysRoot });
    events.packageUnpacked(resolved, digest, nonZeroBytes);
    await recipes.share(sha256, image, signal);
    return { wireBytes, unpackedBytes: nonZeroBytes };
  } finally {
    store.release(key);
    await store.removeStaging(key);
  }
}

/** Unpacked bytes for one of a package file, when its index does not say: .deb files hold 3 to 4. */
const USUAL_RATIO = 4;

/** What a package takes in the store, before it is unpacked. */
function bytesOf({ installedBytes, sizeBytes }: ResolvedPackage): number {
  return installedBytes > 0 ? installedBytes : USUAL_RATIO * sizeBytes;
}

function requireQuota({ store, quotaBytes }: Deps, resolved: ResolvedPackage): void {
  const used = store
    .list()
    .filter(({ kind }) => kind === 'package')
    .reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
  if (used + bytesOf(resolved) <= quotaBytes) return;
  throw new VmdnError(
    'quota_exceeded',
    'Packages have all the room of the store that they may have; see VMDN_PACKAGES_QUOTA_BYTES.',
    { data: { usedBytes: used, neededBytes: bytesOf(resolved), quotaBytes } },
  );
}
