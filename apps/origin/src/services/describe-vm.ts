/**
 * Room: origin, services. One VM described: its disks locked, read once, inspected, let go.
 *
 * I1: all disks are locked before the first is read and until the last was, so that they belong together;
 *     each one's print is the same before, while locked and after, or it is `source_changed`.
 * I2: what was computed for this print before is not computed again; that the VM is off is seen anew.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { nonZeroBlockCount } from '@vmdn/core/domain/recipe.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type {
  ContentCache,
  DiskContent,
  DiskReaders,
  LockedDisk,
  SourceLocks,
  SourcePrint,
} from '../ports.ts';
import type { VmContent } from './version-book.ts';

export interface DescribeDeps {
  readonly locks: SourceLocks;
  readonly cache: ContentCache;
  readonly readers: DiskReaders;
  readonly logger: Logger;
}

/**
 * Describes a VM that is off. Throws `source_running`, `source_changed`, `unavailable`, `not_found`,
 * `hostile_format`, `unsupported_format`, `cancelled`, …
 */
export async function describeVm(
  deps: DescribeDeps,
  vm: VmSpecification,
  signal: AbortSignal,
): Promise<VmContent> {
  const prints = await printsOf(deps.locks, vm.disks);
  const locked: LockedDisk[] = [];
  try {
    for (const disk of vm.disks) locked.push(await deps.locks.lock(disk));
    requireSame(
      prints,
      locked.map((disk) => disk.print),
    );
    const disks: DiskContent[] = [];
    for (const disk of locked) disks.push(await contentOf(deps, vm, disk, signal));
    const guest = await guestOf(deps, vm, disks, locked, signal);
    requireSame(prints, await printsOf(deps.locks, vm.disks));
    return { disks, guest, consistency: 'off' };
  } finally {
    // Who fails to start the VM meanwhile changes a time of its file, and tries again: not in vain for ever.
    for (const disk of locked) disk.release({ atOnce: true });
  }
}

/** The prints of a VM's disks, in order. */
export async function printsOf(
  locks: SourceLocks,
  disks: readonly DiskSource[],
): Promise<SourcePrint[]> {
  return await Promise.all(disks.map((disk) => locks.print(disk)));
}

function requireSame(before: readonly SourcePrint[], after: readonly SourcePrint[]): void {
  if (before.every((print, i) => print === after[i])) return;
  throw new VmdnError(
    'source_changed',
    'A disk changed while it was described; it is tried again.',
  );
}

async function contentOf(
  { cache, readers, logger }: DescribeDeps,
  vm: VmSpecification,
  locked: LockedDisk,
  signal: AbortSignal,
): Promise<DiskContent> {
  const known = await cache.contentOf(locked.print);
  if (known !== undefined && (await hasRecipes(cache, known))) return known;
  const started = performance.now();
  const { withoutFree, free, ...whole } = await readers.describeDisk(locked, signal);
  const { virtualSizeBytes } = whole.recipe;
  const { digest } = withoutFree;
  // First of all: whoever has the recipe of a disk without its free space has the map as well.
  if (digest !== whole.digest) await cache.putFreeRanges(digest, free.ranges, virtualSizeBytes);
  const content: DiskContent = {
    print: locked.print,
    virtualSizeBytes,
    ...(await putRecipe(cache, whole)),
    skipFree: { ...(await putRecipe(cache, withoutFree)), kept: free.kept },
  };
  await cache.putContent(content);
  const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
  logger.info(
    {
      ...{ event: 'disk_described', vm: vm.name, digest: content.digest, seconds },
      nonZeroBytes: content.nonZeroBytes,
      skipFree: content.skipFree,
    },
    'described a disk',
  );
  return content;
}

type DescribedBytes = Pick<
  Awaited<ReturnType<DiskReaders['describeDisk']>>,
  'recipe' | 'digest' | 'keysRoot'
>;

/** Stores a recipe; returns what a description says of it. */
async function putRecipe(cache: ContentCache, { recipe, digest, keysRoot }: DescribedBytes) {
  const recipeBytes = await cache.putRecipe(digest, recipe);
  const blocks = nonZeroBlockCount(recipe);
  const nonZeroBytes = Math.min(blocks * BLOCK_BYTES, recipe.virtualSizeBytes);
  return { digest, nonZeroBytes, keysRoot, recipeBytes };
}

async function hasRecipes(
  cache: ContentCache,
  { digest, skipFree }: DiskContent,
): Promise<boolean> {
  try {
    await cache.recipe(digest);
    if (skipFree !== undefined && skipFree.digest !== digest)
      await cache.freeRanges(skipFree.digest);
    return true;
  } catch {
    return false;
  }
}

async function guestOf(
  { cache, readers, logger }: DescribeDeps,
  vm: VmSpecification,
  disks: readonly DiskContent[],
  locked: readonly LockedDisk[],
  signal: AbortSignal,
): Promise<VmContent['guest']> {
  const digests = disks.map((disk) => disk.digest);
  const known = await cache.guestOf(digests);
  if (known !== undefined) return known;
  const guest = await readers.inspectGuest(locked, signal);
  await cache.putGuest(digests, guest);
  logger.info(
    { event: 'guest_inspected', vm: vm.name, os: guest.os?.prettyName, remarks: guest.remarks },
    guest.os === null ? 'no operating system was found' : 'inspected a guest',
  );
  return guest;
}
