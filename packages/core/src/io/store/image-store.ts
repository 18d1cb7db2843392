/**
 * Room: io, store. The image store of an edge, on a file system.
 *
 *   <root>/owner.lock                     see files/owner-lock.ts
 *   <root>/staging/<digest>/              disks in the making (the sync engine's own files)
 *   <root>/staging/import-<id>/           imports in the making; gone after a restart
 *   <root>/staging/capture-<id>-<n>/      disks being captured; gone after a restart
 *   <root>/staging/package-<sha256>/      packages being unpacked; gone after a restart
 *   <root>/staging/removed-<digest>/      images on their way out; gone after a restart
 *   <root>/images/<digest>/disk.raw       sparse, immutable; or
 *   <root>/images/<digest>/disk.qcow2     the same of a disk that shares storage (shared-disk.md)
 *   <root>/images/<digest>/recipe         its recipe file
 *   <root>/images/<digest>/image.json     see image-record.ts
 *   <root>/quarantine/<digest>.<n>/       what was not what it said, with `reason.txt`
 *
 * I1: `images/<digest>` appears by one rename of a directory that is complete and durable, and
 *     disappears by one rename, into quarantine or to be removed. Two that are adopted at once are one.
 * I2: names inside the store are digests and numbers: nothing from outside becomes a path.
 * I3: after a kill at any point the next start finds each image whole or not at all: temporary files
 *     are swept, records that do not parse and images without bytes go to quarantine.
 * I4: an image that shares storage is held only while its base is, and is read only while the base's file
 *     is the one that was adopted. A base that goes takes the images on it along; what they had of their
 *     own goes back to staging (image-bases.ts).
 */

import { readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { giveBack } from '../../domain/columns.ts';
import { type Digest, isDigest } from '../../domain/digest.ts';
import { describeError, isVmdnError, VmdnError } from '../../domain/errors.ts';
import type { Name } from '../../domain/names.ts';
import { nonZeroBytesOf } from '../../domain/recipe.ts';
import { createTurns, type Turns } from '../../domain/turns.ts';
import { ensurePrivateDir, fileError, fsyncDir, sweepTemps } from '../files/files.ts';
import { openLayeredFile } from '../files/layered-file.ts';
import { takeOwnerLock } from '../files/owner-lock.ts';
import { DISK_FILE, diskFileBytes } from '../files/shared-file.ts';
import type { ServedDisk } from '../ports/disk-library.ts';
import type { Adoption, ImageKind, ImageStore, StoredImage } from '../ports/image-store.ts';
import { imageLayers, inspectStagedDisk, keepOwnSegments } from './image-bases.ts';
import {
  allocatedBytes,
  type ImageFingerprint,
  type ImageRecord,
  imageFingerprint,
  isSameFingerprint,
  RECIPE_FILE,
  readImageRecord,
  readRecipeFile,
  sweepExtras,
  syncDiskFile,
  writeImageRecord,
} from './image-record.ts';
import { type ImageRights, imageRights } from './image-rights.ts';
import { moveToQuarantine, removeImageFiles } from './quarantine.ts';
import { createRecipeMemory, type RecipeMemory } from './recipe-memory.ts';
import { createRetainedImages, type RetainedImages } from './retained-images.ts';
import { createStoreLedger } from './store-space.ts';
import { firstBadSegment } from './verify-image.ts';

export interface ImageStoreOptions {
  readonly root: string;
  readonly quotaBytes: number | null;
  /** Whether guests' users read images by their paths; only for root. */
  readonly guestsRead?: boolean;
  /** Told of images that had to go to quarantine. */
  readonly onQuarantine?: (digest: string, reason: string) => void;
}

interface Entry {
  readonly image: StoredImage;
  readonly record: ImageRecord;
}

interface Store {
  readonly options: ImageStoreOptions;
  readonly dirs: { readonly staging: string; readonly images: string; readonly quarantine: string };
  readonly rights: ImageRights;
  readonly entries: Map<Digest, Entry>;
  readonly listeners: Set<(kind: ImageKind) => void>;
  /** Checks under way, so that ten readers of a changed file read it through once. */
  readonly checks: Map<Digest, Promise<void>>;
  readonly recipes: RecipeMemory;
  readonly retained: RetainedImages;
  readonly adoptions: Turns<Digest>;
}

/** Opens the store, takes it for this process and brings it in order. Throws `conflict`. */
export async function openImageStore(
  options: ImageStoreOptions,
): Promise<ImageStore & AsyncDisposable> {
  const dirs = {
    staging: join(options.root, 'staging'),
    images: join(options.root, 'images'),
    quarantine: join(options.root, 'quarantine'),
  };
  const rights = imageRights(options.guestsRead === true);
  for (const dir of [options.root, dirs.images]) await rights.makeDir(dir);
  for (const dir of [dirs.staging, dirs.quarantine]) await ensurePrivateDir(dir);
  const lock = takeOwnerLock(join(options.root, 'owner.lock'));
  const store: Store = {
    ...{ options, dirs, rights },
    entries: new Map(),
    listeners: new Set(),
    checks: new Map(),
    recipes: createRecipeMemory(),
    retained: createRetainedImages(),
    adoptions: createTurns(),
  };
  try {
    await sweepStagings(store);
    await loadImages(store);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return surface(store, lock);
}

function surface(store: Store, lock: Disposable): ImageStore & AsyncDisposable {
  const { dirs, entries, listeners } = store;
  const usedBytes = (): number =>
    [...entries.values()].reduce((sum, { image }) => sum + image.allocatedBytes, 0);
  const { root, quotaBytes } = store.options;
  return {
    ...createStoreLedger({ root, quotaBytes, usedBytes }),
    list: () => [...entries.values()].map(({ image }) => image),
    find: (digest) => entries.get(digest)?.image,
    intact: (digest) => intact(store, digest),
    open: (digest) => openDisk(store, digest),
    stagingDir: (key) => join(dirs.staging, key),
    placeOf: (digest, stagedPath) => join(dirs.images, digest, basename(stagedPath)),
    stagings: () => readdir(dirs.staging),
    async removeStaging(key) {
      await rm(join(dirs.staging, key), { recursive: true, force: true });
    },
    adopt: (adoption) => store.adoptions.inTurn(adoption.digest, () => adopt(store, adoption)),
    rename: (digest, name) => renameImage(store, digest, name),
    quarantine: (digest, reason) => quarantine(store, digest, reason),
    retain: (digest) => store.retained.retain(requireEntry(store, digest).record.digest),
    remove: (digest) => remove(store, digest),
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(store.checks.values());
      lock[Symbol.dispose]();
    },
  };
}

/** Imports and captures begin anew after a restart; deliveries go on where they were. */
async function sweepStagings(store: Store): Promise<void> {
  for (const name of await readdir(store.dirs.staging)) {
    const path = join(store.dirs.staging, name);
    if (isDigest(name)) await sweepTemps(path);
    else await rm(path, { recursive: true, force: true });
  }
}

async function loadImages(store: Store): Promise<void> {
  for (const name of await readdir(store.dirs.images)) {
    const dir = join(store.dirs.images, name);
    if (!isDigest(name)) {
      await rm(dir, { recursive: true, force: true });
      continue;
    }
    try {
      await sweepExtras(dir);
      store.entries.set(name, await loadEntry(store, name));
      await giveRights(store, dir, store.entries.get(name)!);
    } catch (error) {
      await quarantine(store, name, `not readable at start: ${describeError(error)}`);
    }
  }
  for (const { record } of [...store.entries.values()]) {
    if (!hasBase(store, record)) await quarantine(store, record.digest, BASE_GONE);
  }
}

/** Whether what an image stands on is held, and stands on nothing itself. */
function hasBase(store: Store, { base }: Pick<ImageRecord, 'base'>): boolean {
  return base === null || store.entries.get(base)?.record.format === 'raw';
}

async function loadEntry(store: Store, digest: Digest): Promise<Entry> {
  const dir = join(store.dirs.images, digest);
  const record = await readImageRecord(dir);
  if (record.digest !== digest) throw new VmdnError('corrupt', 'The record names another digest.');
  return await entryOf(dir, record);
}

async function entryOf(dir: string, record: ImageRecord): Promise<Entry> {
  const path = join(dir, DISK_FILE[record.format]);
  const recipePath = join(dir, RECIPE_FILE);
  const [disk, recipe] = [await allocatedBytes(path), await allocatedBytes(recipePath)];
  // A recipe always has a header; a disk of zeros alone takes no room at all.
  if (recipe === 0) throw new VmdnError('corrupt', 'The recipe is missing.');
  await imageFingerprint(path);
  const { digest, keysRoot, name, kind, virtualSizeBytes, nonZeroBytes, format, base } = record;
  const sizes = { virtualSizeBytes, nonZeroBytes, allocatedBytes: disk + recipe };
  const layers = await imageLayers(dir, record);
  const places = { path, recipePath, format, base, layers };
  return { record, image: { digest, keysRoot, name, kind, ...sizes, ...places } };
}

/** An image from before guests' users were to read it keeps its fingerprint, unless it was changed. */
async function giveRights(store: Store, dir: string, { record, image }: Entry): Promise<void> {
  const before = await imageFingerprint(image.path);
  if (!(await store.rights.give(dir, image.path))) return;
  if (!isSameFingerprint(before, record.fingerprint)) return;
  await replaceRecord(store, { ...record, fingerprint: await imageFingerprint(image.path) });
}

function changed({ listeners }: Store, { kind }: Pick<ImageRecord, 'kind'>): void {
  for (const listener of listeners) listener(kind);
}

async function adopt(store: Store, adoption: Adoption): Promise<StoredImage> {
  const { stagingDir, digest, name } = adoption;
  const held = store.entries.get(digest);
  if (held !== undefined) {
    await rm(stagingDir, { recursive: true, force: true });
    return name === null ? held.image : await renameImage(store, digest, name);
  }
  const target = join(store.dirs.images, digest);
  try {
    const recipe = await readRecipeFile(join(stagingDir, RECIPE_FILE), adoption);
    const { format, base, path: disk } = await inspectStagedDisk(stagingDir, recipe);
    await store.rights.give(stagingDir, disk);
    await syncDiskFile(disk);
    const fingerprint = await imageFingerprint(disk);
    const { virtualSizeBytes } = recipe;
    if (fingerprint.sizeBytes !== String(diskFileBytes(format, virtualSizeBytes))) {
      throw new VmdnError('corrupt', `${disk} is not as long as its recipe says.`);
    }
    if (base !== null) await intact(store, base).catch(unlessGone);
    if (!hasBase(store, { base })) throw baseGone(digest, base);
    const record: ImageRecord = {
      schema: 'vmdn-image/1',
      digest,
      keysRoot: adoption.keysRoot,
      name,
      kind: adoption.kind,
      virtualSizeBytes,
      nonZeroBytes: nonZeroBytesOf(recipe),
      format,
      base,
      fingerprint,
    };
    // Its columns are views of one buffer: as long as the disk's recipe, and not needed any more.
    giveBack(recipe.keys);
    // The engine's own files stay until the rename: a kill before it leaves a staging that is complete.
    await writeImageRecord(stagingDir, record);
    await rename(stagingDir, target);
    await fsyncDir(store.dirs.images);
    await fsyncDir(store.dirs.staging);
    await sweepExtras(target);
    const entry = await entryOf(target, record);
    store.entries.set(digest, entry);
    // From here on whoever takes the base away sees who stands on it; until here nobody did.
    if (!hasBase(store, entry.record)) {
      await quarantine(store, digest, BASE_GONE);
      throw baseGone(digest, base);
    }
    changed(store, record);
    return entry.image;
  } catch (error) {
    throw fileError(error, target);
  }
}

const BASE_GONE = 'the image that it shares storage with is not held any more';

function baseGone(digest: Digest, base: Digest | null): VmdnError {
  const words =
    'The image that this disk shares storage with went meanwhile; the disk is completed again.';
  return new VmdnError('conflict', words, { data: { digest, base } });
}

/** For a check whose answer is seen in the list afterwards. */
function unlessGone(error: unknown): void {
  if (!isVmdnError(error, 'corrupt') && !isVmdnError(error, 'not_found')) throw error;
}

async function renameImage(store: Store, digest: Digest, name: Name): Promise<StoredImage> {
  const { record, image } = requireEntry(store, digest);
  if (record.name === name && record.kind === 'base') return image;
  await replaceRecord(store, { ...record, name, kind: 'base' });
  changed(store, { kind: 'base' });
  return store.entries.get(digest)!.image;
}

async function replaceRecord(store: Store, record: ImageRecord): Promise<void> {
  const dir = join(store.dirs.images, record.digest);
  await writeImageRecord(dir, record);
  store.entries.set(record.digest, await entryOf(dir, record));
}

function requireEntry(store: Store, digest: Digest): Entry {
  const entry = store.entries.get(digest);
  if (entry !== undefined) return entry;
  throw new VmdnError('not_found', 'This edge does not hold the disk.', { data: { digest } });
}

async function quarantine(store: Store, digest: Digest, reason: string): Promise<void> {
  const entry = store.entries.get(digest);
  store.entries.delete(digest);
  store.recipes.forget(digest);
  if (entry !== undefined && entry.record.base !== null) {
    await keepOwnSegments(entry.image, join(store.dirs.staging, digest));
  }
  await moveToQuarantine(store.dirs, digest, reason);
  store.options.onQuarantine?.(digest, reason);
  // One without a record may have been anything.
  changed(store, entry?.record ?? { kind: 'snapshot' });
  for (const { record } of imagesOn(store, digest))
    await quarantine(store, record.digest, BASE_GONE);
}

function imagesOn({ entries }: Store, base: Digest): readonly Entry[] {
  return [...entries.values()].filter(({ record }) => record.base === base);
}

async function remove(store: Store, digest: Digest): Promise<void> {
  const { record } = requireEntry(store, digest);
  if (store.retained.has(digest) || imagesOn(store, digest).length > 0) {
    throw new VmdnError('conflict', 'Another image or a copy stands on it.', { data: { digest } });
  }
  store.entries.delete(digest);
  store.recipes.forget(digest);
  changed(store, record);
  await removeImageFiles(store.dirs, digest);
}

async function intact(store: Store, digest: Digest): Promise<StoredImage> {
  const { record, image } = requireEntry(store, digest);
  if (record.base !== null) {
    await intact(store, record.base).catch(unlessGone);
    // A base that is not what it was has taken this image along.
    requireEntry(store, digest);
  }
  const now = await imageFingerprint(image.path).catch(() => null);
  if (now !== null && isSameFingerprint(now, record.fingerprint)) return image;
  let check = store.checks.get(digest);
  if (check === undefined) {
    check = recheck(store, digest, now).finally(() => store.checks.delete(digest));
    store.checks.set(digest, check);
  }
  await check;
  return requireEntry(store, digest).image;
}

/** Reads a file that is not the one that was adopted: a restored backup passes, anything else goes. */
async function recheck(store: Store, digest: Digest, now: ImageFingerprint | null): Promise<void> {
  const { record, image } = requireEntry(store, digest);
  let reason = 'the file is gone';
  if (now !== null) {
    try {
      const recipe = await readRecipeFile(image.recipePath, record);
      // A shared disk's tables are read again, too.
      const layers = await imageLayers(join(store.dirs.images, digest), record);
      const ownBytes = diskFileBytes(record.format, recipe.virtualSizeBytes);
      const bad = await firstBadSegment(layers, recipe, ownBytes);
      if (bad === null) return await replaceRecord(store, { ...record, fingerprint: now });
      reason = bad === -1 ? 'the file has another length' : `segment ${bad} has other bytes`;
    } catch (error) {
      reason = describeError(error);
    }
  }
  await quarantine(store, digest, reason);
  throw new VmdnError(
    'corrupt',
    `The image ${digest} was changed in the store (${reason}); it is in quarantine.`,
    { data: { digest, reason } },
  );
}

async function openDisk(store: Store, digest: Digest): Promise<ServedDisk> {
  const image = await intact(store, digest);
  const recipe = await store.recipes.get(digest, () => readRecipeFile(image.recipePath, image));
  const file = await openLayeredFile(image.layers);
  const { virtualSizeBytes } = image;
  return {
    digest,
    virtualSizeBytes,
    recipe,
    recipePath: image.recipePath,
    async readInto(target, offsetBytes) {
      const isInside = offsetBytes + target.length <= virtualSizeBytes;
      if (isInside && (await file.readInto(target, offsetBytes))) return;
      throw new VmdnError('corrupt', 'The image is shorter than it should be.', {
        data: { digest, offsetBytes },
      });
    },
    release: () => file.close(),
  };
}
