/**
 * Room: edge, services. A disk to be read by a program of this edge, from wherever it is: of what is not here
 * only that crosses the link which is read.
 *
 * I1: a disk that the store holds is read from it.
 * I2: the disk is lent as long as it is used and no longer: nothing is fetched afterwards.
 * I3: why the disk does not come says more than that its reader failed.
 */

import { join } from 'node:path';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import type { DiskDelivery } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { ServeExports } from '@vmdn/core/io/ports/export-server.ts';
import type { ClosableDisk, ExportedDisk } from '@vmdn/core/io/ports/exported-disk.ts';
import type { ImageStore, StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import { localDelivery } from '../decisions/deliveries.ts';
import type { LazyDisk } from '../sync/lazy-disk.ts';
import type { SyncRequest, SyncResult } from '../sync/sync-disk.ts';

/** Reads a disk at the unix socket of an NBD server, under no name. */
export type DiskUse<Value> = (socketPath: string, signal: AbortSignal) => Promise<Value>;

export interface Lent<Value> {
  readonly value: Value;
  /** What was read of it, and what that cost. */
  readonly delivery: DiskDelivery;
}

export interface LendMeans {
  readonly store: Pick<ImageStore, 'intact'>;
  /** Where sockets lie: private and short. */
  readonly exportsDir: string;
  readonly serveExports: ServeExports;
  /** Takes away what a server left that was killed. */
  readonly clearExports: (socketPath: string) => Promise<void>;
  readonly lazyDisk: (recipe: Recipe) => LazyDisk;
  readonly openImage: (image: StoredImage) => Promise<ClosableDisk>;
}

/** Lends a disk that the store holds. */
export async function lendImage<Value>(
  means: LendMeans,
  image: StoredImage,
  order: { readonly reader: Id; readonly signal: AbortSignal },
  use: DiskUse<Value>,
): Promise<Lent<Value>> {
  const disk = await means.openImage(image);
  try {
    const value = await serve(means, order.reader, disk, (socket) => use(socket, order.signal));
    return { value, delivery: localDelivery(image) };
  } finally {
    await disk.close();
  }
}

/** Lends a disk that others have. Throws as the sync does, and what `use` throws. */
export async function lendRemote<Value>(
  means: LendMeans,
  order: {
    readonly reader: Id;
    readonly plan: DiskPlan;
    readonly signal: AbortSignal;
    readonly sync: (more: Partial<SyncRequest>) => Promise<SyncResult>;
  },
  use: DiskUse<Value>,
): Promise<Lent<Value>> {
  const { reader, plan, signal } = order;
  const disk = means.lazyDisk(plan.wanted);
  const enough = new AbortController();
  const broken = new AbortController();
  const synced = order.sync({ reading: { disk }, onDemandUntil: enough.signal });
  synced.catch((error: unknown) => broken.abort(error));
  const readerSignal = AbortSignal.any([signal, broken.signal]);
  let value: Value;
  try {
    value = await serve(means, reader, disk, (socket) => use(socket, readerSignal));
  } catch (error) {
    if (!signal.aborted) broken.signal.throwIfAborted();
    throw error;
  } finally {
    enough.abort();
    await Promise.allSettled([synced]);
    await disk.close();
  }
  return { value, delivery: (await synced).delivery };
}

async function serve<Value>(
  { exportsDir, serveExports, clearExports }: LendMeans,
  reader: Id,
  disk: ExportedDisk,
  use: (socketPath: string) => Promise<Value>,
): Promise<Value> {
  const socketPath = join(exportsDir, reader, 'nbd');
  await clearExports(socketPath);
  const server = await serveExports({ socketPath, user: null, disks: new Map([['', disk]]) });
  try {
    return await use(socketPath);
  } finally {
    await server.close();
  }
}
