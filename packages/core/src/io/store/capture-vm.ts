/**
 * Room: io, store. Captures the disks of a VM that is off: locked exports of overlay and image → recipes →
 * what is not in place in the image below → proof → store; and what the guest is now.
 *
 * I1: nothing is left in staging, whatever happens; what a kill left goes with the store's next start.
 */

import type { DescribedDisk } from '../../domain/description.ts';
import type { DiskLayer } from '../../domain/disk-format.ts';
import { isVmdnError } from '../../domain/errors.ts';
import { nonZeroBytesOf, type Recipe } from '../../domain/recipe.ts';
import { recipeFileBytes } from '../../formats/recipe.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { type DiskExport, openDiskExport } from '../disk-export/disk-export.ts';
import { describeChanges } from '../hashing/describe-changes.ts';
import type { HashPool } from '../hashing/hash-pool.ts';
import type { CaptureOrder, CaptureVm } from '../ports/capture-vm.ts';
import type { DiskInspector } from '../ports/guest-inspector.ts';
import type { ImageStore, StoredImage } from '../ports/image-store.ts';
import { readRecipeFile } from './image-record.ts';
import { stageExport } from './stage-export.ts';

interface Deps {
  readonly store: ImageStore;
  readonly runner: CommandRunner;
  /** Where export sockets go; private, short. */
  readonly socketDir: string;
  /** Hashing threads; whoever made it closes it. */
  readonly pool: HashPool;
  readonly inspect: DiskInspector;
}

export function createCaptureVm(deps: Deps): CaptureVm {
  const { runner, socketDir } = deps;
  return async (order) => {
    const { signal } = order;
    const sources: DiskExport[] = [];
    try {
      for (const layers of order.disks) {
        sources.push(await openDiskExport({ layers, socketDir, runner, signal }));
      }
      const disks: CapturedDisk[] = [];
      for (const [index, source] of sources.entries()) {
        disks.push(await captureDisk(deps, order, index, source));
      }
      order.onProgress('looking at the guest');
      const sockets = sources.map(({ socketPath }) => socketPath);
      const guest = await deps.inspect(sockets, signal);
      const sum = (of: 'readBytes' | 'ownBytes'): number =>
        disks.reduce((bytes, disk) => bytes + disk[of], 0);
      return {
        disks: disks.map(({ described }) => described),
        ...{ guest, readBytes: sum('readBytes'), ownBytes: sum('ownBytes') },
      };
    } finally {
      await Promise.all(sources.map((source) => source.close()));
    }
  };
}

interface CapturedDisk {
  readonly described: DescribedDisk;
  readonly readBytes: number;
  readonly ownBytes: number;
}

async function captureDisk(
  { store, pool }: Deps,
  order: CaptureOrder,
  index: number,
  { socketPath, virtualSizeBytes }: DiskExport,
): Promise<CapturedDisk> {
  const { signal, onProgress } = order;
  const which = `disk ${index + 1} of ${order.disks.length}`;
  const layers = order.disks[index]!;
  const reading = {
    ...{ socketPath, virtualSizeBytes, signal, pool },
    onProgress: (done: number) =>
      onProgress(`${which}: ${Math.floor((100 * done) / virtualSizeBytes)} % read`),
  };
  const below = await recipeBelow(store, layers);
  const { digest, keysRoot, recipe, readBytes } = await describeChanges(reading, below);
  const described: DescribedDisk = {
    ...{ digest, virtualSizeBytes, keysRoot },
    nonZeroBytes: nonZeroBytesOf(recipe),
    recipeBytes: recipeFileBytes(recipe),
  };
  if (store.find(digest) !== undefined) return { described, readBytes, ownBytes: 0 };
  const key = `capture-${order.id}-${index}` as const;
  try {
    onProgress(`${which}: copying what is new`);
    const base = await imageAt(store, layers.at(-1)!, 'raw');
    const { ownBytes } = await stageExport(store, { key, socketPath, recipe, base, signal });
    const stagingDir = store.stagingDir(key);
    await order.willMake(digest);
    await store.adopt({ stagingDir, digest, keysRoot, name: null, kind: 'snapshot' });
    return { described, readBytes, ownBytes };
  } finally {
    store.release(key);
    await store.removeStaging(key);
  }
}

/** What is known of the image below a VM's overlay; null: it is none of the store's. */
async function recipeBelow(
  store: ImageStore,
  [, delivered]: readonly DiskLayer[],
): Promise<Recipe | null> {
  const image = delivered === undefined ? null : await imageAt(store, delivered, delivered.format);
  return image && (await readRecipeFile(image.recipePath, image));
}

/** The image in a file, as it was adopted; null: none of this format lies there. */
async function imageAt(
  store: ImageStore,
  { path }: DiskLayer,
  format: DiskLayer['format'],
): Promise<StoredImage | null> {
  const found = store.list().find((image) => image.path === path && image.format === format);
  if (found === undefined) return null;
  try {
    return await store.intact(found.digest);
  } catch (error) {
    if (isVmdnError(error, 'corrupt') || isVmdnError(error, 'not_found')) return null;
    throw error;
  }
}
