/**
 * Room: io, store. Copies an export into a staging directory: all of it, or, for a disk that is to share
 * storage with a base image, what the base does not have in place.
 *
 * I1: the disk that is staged was read back, and each of its own segments has the recipe's SHA-256.
 * I2: a segment is left to the base only when the base's recipe has the same SHA-256 at the same place.
 */

import { constants, type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { HASH_BYTES } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import {
  BASE_FILE,
  type ImageLayers,
  OWN_FILE,
  ownSegments,
  rawLayers,
} from '../../domain/layers.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import { isSegmentNonZero, type Recipe } from '../../domain/recipe.ts';
import { BLOCK_BYTES, BLOCKS_PER_SEGMENT, segmentCount } from '../../domain/units.ts';
import { recipePieces } from '../../formats/recipe.ts';
import { durableWrite } from '../files/durable-write.ts';
import { ensurePrivateDir, fileError } from '../files/files.ts';
import {
  DISK_FILE,
  diskFileBytes,
  diskOffsetBytes,
  writeSharedTables,
} from '../files/shared-file.ts';
import { connectNbd, type NbdClient } from '../nbd/nbd-client.ts';
import type { ImageStore, StoredImage } from '../ports/image-store.ts';
import { RECIPE_FILE, readRecipeFile } from './image-record.ts';
import { firstBadSegment } from './verify-image.ts';

/** Blocks in one read: 2 MiB, enough to keep a disk streaming. */
const RUN_BLOCKS_MAX = 512;
/** Reads and writes in flight: 16 MiB of memory. */
const COPIES_IN_FLIGHT = 8;

interface StageOrder {
  /** Of the staging directory and of the room that is reserved; the caller removes and releases both. */
  readonly key: `import-${string}` | `capture-${string}`;
  /** A locked export of the disk. */
  readonly socketPath: string;
  /** Of the disk, as it was read through that export. */
  readonly recipe: Recipe;
  /** The image whose storage it shares: a raw one; null: none. */
  readonly base: StoredImage | null;
  readonly signal: AbortSignal;
}

/**
 * Makes the disk's file and its `recipe` in staging. Returns the bytes of the segments that are its own.
 * Throws `no_room`, `disk_full`, `corrupt`, `cancelled`, and as NBD reads do.
 */
export async function stageExport(
  store: Pick<ImageStore, 'stagingDir' | 'reserve'>,
  { key, socketPath, recipe, base, signal }: StageOrder,
): Promise<{ readonly ownBytes: number }> {
  const { virtualSizeBytes } = recipe;
  const stagingDir = store.stagingDir(key);
  const format = base === null ? 'raw' : 'qcow2';
  const path = join(stagingDir, DISK_FILE[format]);
  const column = base === null ? ownSegments(recipe) : await columnOver(recipe, base);
  const isOwn = (segment: number): boolean => column[segment] === OWN_FILE;
  const runs = [...nonZeroRuns(recipe, isOwn)];
  const ownBytes = runs.reduce((sum, [, blocks]) => sum + blocks * BLOCK_BYTES, 0);
  const offsetBytes = diskOffsetBytes(format, virtualSizeBytes);
  await store.reserve({ key, bytes: offsetBytes + ownBytes, paths: [path] });
  try {
    await ensurePrivateDir(stagingDir);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    await using file = await open(path, flags, 0o600);
    await file.truncate(diskFileBytes(format, virtualSizeBytes));
    const client = await connectNbd({ socketPath, signal });
    try {
      await copyRuns(client, file, { runs, virtualSizeBytes, offsetBytes, signal });
    } finally {
      await client.close();
    }
    await file.sync();
    const own: ImageLayers =
      base === null
        ? rawLayers(path)
        : { files: [{ path, offsetBytes }, ...base.layers.files], fileOfSegment: column };
    await requireRight(
      own,
      recipe,
      diskFileBytes(format, virtualSizeBytes),
      (segment) => column[segment] !== BASE_FILE,
    );
    if (base !== null) {
      const shared = { virtualSizeBytes, base: base.digest, fileOfSegment: column };
      await writeSharedTables(file, shared);
    }
    const recipePath = join(stagingDir, RECIPE_FILE);
    await durableWrite(recipePath, recipePieces(recipe), { maxBytes: MAX_RECIPE_BYTES });
  } catch (error) {
    throw fileError(error, path);
  }
  return { ownBytes };
}

/** I2: where each segment of a disk over a base lies. */
async function columnOver(recipe: Recipe, base: StoredImage): Promise<Uint8Array> {
  const below = await readRecipeFile(base.recipePath, base);
  const column = ownSegments(recipe);
  const segments = Math.min(
    segmentCount(recipe.virtualSizeBytes),
    segmentCount(below.virtualSizeBytes),
  );
  const isSameSize = recipe.virtualSizeBytes === below.virtualSizeBytes;
  let [row, baseRow] = [0, 0];
  for (let segment = 0; segment < segments; segment += 1) {
    const [isHere, isBelow] = [isSegmentNonZero(recipe, segment), isSegmentNonZero(below, segment)];
    // The last segment of the shorter of two disks may be a part of the other's.
    const isComparable = isSameSize || segment < segments - 1;
    if (isHere && isBelow && isComparable && isSameHash(recipe, row, below, baseRow)) {
      column[segment] = BASE_FILE;
    }
    if (isHere) row += 1;
    if (isBelow) baseRow += 1;
  }
  return column;
}

function isSameHash(one: Recipe, row: number, other: Recipe, otherRow: number): boolean {
  const of = ({ segmentHashes }: Recipe, at: number): Uint8Array =>
    segmentHashes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES);
  return Buffer.compare(of(one, row), of(other, otherRow)) === 0;
}

/** I1. Throws `corrupt`. */
async function requireRight(
  layers: ImageLayers,
  recipe: Recipe,
  fileBytes: number,
  isChecked: (segment: number) => boolean,
): Promise<void> {
  const bad = await firstBadSegment(layers, recipe, fileBytes, isChecked);
  if (bad === null) return;
  const { path } = layers.files[OWN_FILE]!;
  throw new VmdnError('corrupt', `The copy differs from its source in segment ${bad}.`, {
    data: { path, segment: bad },
  });
}

async function copyRuns(
  client: NbdClient,
  file: FileHandle,
  {
    runs,
    virtualSizeBytes,
    offsetBytes,
    signal,
  }: {
    readonly runs: readonly (readonly [number, number])[];
    readonly virtualSizeBytes: number;
    /** Where the disk begins in the file. */
    readonly offsetBytes: number;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const limit = pLimit(COPIES_IN_FLIGHT);
  const copies: Promise<void>[] = [];
  for (const [startBlock, blocks] of runs) {
    const copy = limit(async () => {
      if (signal.aborted) throw new VmdnError('cancelled', 'Copying the disk was cancelled.');
      const at = startBlock * BLOCK_BYTES;
      const length = Math.min(blocks * BLOCK_BYTES, virtualSizeBytes - at);
      const bytes = Buffer.allocUnsafe(length);
      await client.read(bytes, at);
      await file.write(bytes, 0, length, offsetBytes + at);
    });
    copies.push(copy);
  }
  // All of them are over before the file is closed; then the first failure counts.
  const failed = (await Promise.allSettled(copies)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/**
 * [startBlock, count] for each run of blocks that are not zero, of the segments that are wanted, at most
 * RUN_BLOCKS_MAX long.
 */
export function* nonZeroRuns(
  recipe: Recipe,
  isWanted: (segment: number) => boolean = () => true,
): Generator<readonly [number, number]> {
  let row = 0;
  let [start, count] = [0, 0];
  const segments = recipe.segmentBitmap.length * 8;
  for (let segment = 0; segment < segments; segment += 1) {
    if (!isSegmentNonZero(recipe, segment)) continue;
    const mask = isWanted(segment) ? recipe.blockMasks[row]! : 0;
    row += 1;
    for (let bit = 0; bit < BLOCKS_PER_SEGMENT; bit += 1) {
      if (((mask >> bit) & 1) === 0) continue;
      const block = segment * BLOCKS_PER_SEGMENT + bit;
      if (count > 0 && block === start + count && count < RUN_BLOCKS_MAX) {
        count += 1;
        continue;
      }
      if (count > 0) yield [start, count];
      [start, count] = [block, 1];
    }
  }
  if (count > 0) yield [start, count];
}
