/**
 * Room: edge, services. Package images of this edge: fetched from a mirror, unpacked, in the store.
 *
 * I1: a package file is fetched once, however many disks want it at the same time.
 * I2: a package counts as here only while the store holds its image.
 * I3: package images take no more of the store than their quota; one that would not fit is not begun.
 * I4: every byte that crossed is told, also of a package that failed, before the package is kept.
 * I5: what nobody waits for keeps to the budget of background work; it is let go as soon as somebody does.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { createTurns } from '@vmdn/core/domain/turns.ts';
import { PACKAGE_UNPACKER_VERSION } from '@vmdn/core/formats/package-recipe.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { PackageMirrors, ResolvedPackage } from '@vmdn/core/io/ports/package-mirrors.ts';
import type { PackageUnpacker } from '@vmdn/core/io/ports/package-unpacker.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import type { BackgroundBudget } from './background-budget.ts';
import type { ImageUses } from './image-uses.ts';
import type { PackageImageRecord, PackageRecipes } from './package-recipes.ts';
import type { PackageRoom } from './package-room.ts';

export interface PackageImages {
  /** Whether the store holds the image of the package file with this SHA-256. */
  has(sha256: Digest): Promise<boolean>;
  /**
   * Fetches, unpacks and adopts a package that is not here. Throws `quota_exceeded`, and what mirrors,
   * unpacker and store throw.
   */
  fetch(resolved: ResolvedPackage, order: PackageFetch): Promise<FetchedPackage>;
}

/** Why a package is fetched, and how. */
export interface PackageFetch {
  /** The disk that wants its blocks. */
  readonly disk: Digest;
  /** Somebody waits for that disk. */
  readonly isAwaited: boolean;
  /** Told what crossed for a package, by the SHA-256 of its file. */
  readonly onRead: (sha256: Digest, wireBytes: number) => Promise<void>;
  /** Told for how many seconds a thread was busy. */
  readonly onBusy: (seconds: number) => void;
  readonly signal: AbortSignal;
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
  readonly room: PackageRoom;
  readonly uses: Pick<ImageUses, 'brought'>;
  readonly budget: Pick<BackgroundBudget, 'spend'>;
  readonly events: EdgeEvents;
}

export function createPackageImages(deps: Deps): PackageImages {
  const turns = createTurns<string>();
  /** How many wait for a package now. */
  const awaited = new Map<Digest, number>();
  const has = async (sha256: Digest): Promise<boolean> => {
    const record = await deps.records.read(sha256);
    return record !== null && deps.store.find(record.digest) !== undefined;
  };
  const wait = (sha256: Digest, more: 1 | -1): void => {
    const count = (awaited.get(sha256) ?? 0) + more;
    if (count > 0) awaited.set(sha256, count);
    else awaited.delete(sha256);
  };
  return {
    has,
    async fetch(resolved, order) {
      const { sha256 } = resolved;
      if (order.isAwaited) wait(sha256, 1);
      try {
        return await turns.inTurn(sha256, async () => {
          if (await has(sha256)) return HERE_ALREADY;
          order.signal.throwIfAborted();
          return await fetchOne(deps, resolved, { ...order, isHurried: () => awaited.has(sha256) });
        });
      } finally {
        if (order.isAwaited) wait(sha256, -1);
      }
    },
  };
}

/** `isHurried`: somebody waits for the package by now, whoever wanted it first. */
type Fetch = PackageFetch & { readonly isHurried: () => boolean };

async function fetchOne(
  deps: Deps,
  resolved: ResolvedPackage,
  order: Fetch,
): Promise<FetchedPackage> {
  const { store, records, recipes, room, uses, events } = deps;
  const { sha256 } = resolved;
  const key = `package-${sha256}` as const;
  const stagingDir = store.stagingDir(key);
  try {
    await room.take(sha256, bytesOf(resolved));
    const paths = [`${stagingDir}/disk.raw`];
    await store.reserve({ key, bytes: bytesOf(resolved), paths });
    const unpacked = await unpack(deps, resolved, order, stagingDir);
    const { digest, keysRoot, nonZeroBytes, wireBytes } = unpacked;
    await room.take(sha256, nonZeroBytes);
    uses.brought(order.disk, digest);
    const image = await store.adopt({ stagingDir, digest, keysRoot, name: null, kind: 'package' });
    room.release(sha256);
    await records.write(sha256, { unpacker: PACKAGE_UNPACKER_VERSION, digest, keysRoot });
    events.packageUnpacked(resolved, digest, nonZeroBytes);
    await recipes.share(sha256, image, order.signal);
    return { wireBytes, unpackedBytes: nonZeroBytes };
  } finally {
    room.release(sha256);
    store.release(key);
    await store.removeStaging(key);
  }
}

/** Unpacks it as it comes, and tells what came (I4). */
async function unpack(
  { mirrors, unpacker, budget }: Deps,
  resolved: ResolvedPackage,
  { signal, isHurried, onRead, onBusy }: Fetch,
  stagingDir: string,
) {
  const { sha256, sizeBytes, format, name } = resolved;
  let wireBytes = 0;
  const onWireBytes = (count: number): void => {
    wireBytes += count;
  };
  try {
    const file = await mirrors.open(resolved, { signal, onWireBytes });
    const bytes = paced(file, async (count) => {
      if (!isHurried()) await budget.spend(count, signal);
    });
    const expected = { sha256, sizeBytes };
    const order = { format, name, bytes, expected, stagingDir, signal, onBusy };
    return { ...(await unpacker.unpack(order)), wireBytes };
  } finally {
    if (wireBytes > 0) await onRead(sha256, wireBytes);
  }
}

/** The same bytes, each chunk after its price was paid. */
async function* paced(
  bytes: AsyncIterable<Uint8Array>,
  pay: (count: number) => Promise<void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of bytes) {
    await pay(chunk.length);
    yield chunk;
  }
}

/** Unpacked bytes for one of a package file, when its index does not say: .deb files hold 3 to 4. */
const USUAL_RATIO = 4;

/** What a package takes in the store, before it is unpacked. */
function bytesOf({ installedBytes, sizeBytes }: ResolvedPackage): number {
  return installedBytes > 0 ? installedBytes : USUAL_RATIO * sizeBytes;
}
