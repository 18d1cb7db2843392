/**
 * Room: io, store. Imports base images: locked export → recipe → sparse copy → proof → store.
 *
 * I1: symbolic links are resolved before the folders are compared, and what is opened is the resolved
 *     path: a link cannot lead out.
 * I2: nothing is left in staging, whatever happens.
 */

import { constants, type FileHandle, open, realpath } from 'node:fs/promises';
import { isAbsolute, join, sep } from 'node:path';
import pLimit from 'p-limit';
import { VmdnError } from '../../domain/errors.ts';
import { rawLayers } from '../../domain/layers.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import { nonZeroBytesOf, type Recipe } from '../../domain/recipe.ts';
import { BLOCK_BYTES, BLOCKS_PER_SEGMENT } from '../../domain/units.ts';
import { recipePieces } from '../../formats/recipe.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { sameFingerprint, sourceFingerprint } from '../disk-export/source-fingerprint.ts';
import { durableWrite } from '../files/durable-write.ts';
import { ensurePrivateDir, fileError } from '../files/files.ts';
import { DISK_FILE } from '../files/shared-file.ts';
import { describeDisk } from '../hashing/describe-disk.ts';
import type { HashPool } from '../hashing/hash-pool.ts';
import { connectNbd, type NbdClient } from '../nbd/nbd-client.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { ImportImage, ImportOrder } from '../ports/import-image.ts';
import { RECIPE_FILE } from './image-record.ts';
import { firstBadSegment } from './verify-image.ts';

/** Blocks in one read: 2 MiB, enough to keep a disk streaming. */
const RUN_BLOCKS_MAX = 512;
/** Reads and writes in flight: 16 MiB of memory. */
const COPIES_IN_FLIGHT = 8;

interface Deps {
  readonly store: ImageStore;
  readonly runner: CommandRunner;
  /** Folders that files may be imported from. */
  readonly importDirs: readonly string[];
  /** Where export sockets go; private, short. */
  readonly socketDir: string;
  /** Hashing threads that stay from one import to the next; whoever made it closes it. */
  readonly pool: HashPool;
}

export function createImportImage(deps: Deps): ImportImage {
  return async (order) => {
    const path = await permittedPath(order.file, deps.importDirs);
    const { runner, socketDir, pool } = deps;
    const { format, signal } = order;
    const layers = [{ path, format }];
    const source = await openDiskExport({ layers, socketDir, runner, signal });
    try {
      const { socketPath, virtualSizeBytes } = source;
      const { digest, keysRoot, recipe } = await describeDisk({
        socketPath,
        virtualSizeBytes,
        signal,
        pool,
      });
      if (deps.store.find(digest) === undefined) await copyIn(deps, order, source, recipe);
      await requireUnchanged(path, source.fingerprints[0]);
      const { name } = order;
      const stagingDir = deps.store.stagingDir(`import-${order.id}`);
      await deps.store.adopt({
        stagingDir,
        digest,
        keysRoot: keysRoot as never,
        name,
        kind: 'base',
      });
      return { digest };
    } finally {
      await source.close();
      deps.store.release(`import-${order.id}`);
      await deps.store.removeStaging(`import-${order.id}`);
    }
  };
}

/** The real path of a file in one of the folders. Throws `forbidden`, `not_found`, `invalid_input`. */
async function permittedPath(file: string, importDirs: readonly string[]): Promise<string> {
  if (!isAbsolute(file) || file.includes('\0')) {
    throw new VmdnError('invalid_input', 'Give the file to import as an absolute path.');
  }
  const outside = new VmdnError(
    'forbidden',
    'The file lies in none of the folders that this edge imports from; see VMDN_IMPORT_DIRS.',
    { data: { file, importDirs } },
  );
  let path: string;
  try {
    path = await realpath(file);
  } catch (error) {
    // Whether a file exists elsewhere on the machine is nobody's business.
    if (importDirs.some((dir) => file.startsWith(`${dir}${sep}`))) throw fileError(error, file);
    throw outside;
  }
  for (const dir of importDirs) {
    const real = await realpath(dir).catch(() => null);
    if (real !== null && path.startsWith(`${real}${sep}`)) return path;
  }
  throw outside;
}

async function requireUnchanged(
  path: string,
  before: Parameters<typeof sameFingerprint>[0] | undefined,
): Promise<void> {
  if (before !== undefined && sameFingerprint(before, await sourceFingerprint(path))) return;
  throw new VmdnError('source_changed', 'The file changed while it was imported; try again.', {
    data: { path },
  });
}

/** Makes `disk.raw` and `recipe` in staging: the copy of an export, read back and compared. */
async function copyIn(
  deps: Deps,
  order: ImportOrder,
  source: { readonly socketPath: string },
  recipe: Recipe,
): Promise<void> {
  const key = `import-${order.id}` as const;
  const stagingDir = deps.store.stagingDir(key);
  const path = join(stagingDir, DISK_FILE.raw);
  await deps.store.reserve({ key, bytes: nonZeroBytesOf(recipe), paths: [path] });
  try {
    await ensurePrivateDir(stagingDir);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    await using file = await open(path, flags, 0o600);
    await file.truncate(recipe.virtualSizeBytes);
    const client = await connectNbd({ socketPath: source.socketPath, signal: order.signal });
    try {
      await copyBlocks(client, file, recipe, order.signal);
    } finally {
      await client.close();
    }
    await file.sync();
    const bad = await firstBadSegment(rawLayers(path), recipe, recipe.virtualSizeBytes);
    if (bad !== null) {
      throw new VmdnError('corrupt', `The copy differs from its source in segment ${bad}.`, {
        data: { path, segment: bad },
      });
    }
    const recipePath = join(stagingDir, RECIPE_FILE);
    await durableWrite(recipePath, recipePieces(recipe), { maxBytes: MAX_RECIPE_BYTES });
  } catch (error) {
    throw fileError(error, path);
  }
}

async function copyBlocks(
  client: NbdClient,
  file: FileHandle,
  recipe: Recipe,
  signal: AbortSignal,
): Promise<void> {
  const limit = pLimit(COPIES_IN_FLIGHT);
  const copies: Promise<void>[] = [];
  for (const [startBlock, blocks] of nonZeroRuns(recipe)) {
    const copy = limit(async () => {
      if (signal.aborted) throw new VmdnError('cancelled', 'The import was cancelled.');
      const offsetBytes = startBlock * BLOCK_BYTES;
      const length = Math.min(blocks * BLOCK_BYTES, recipe.virtualSizeBytes - offsetBytes);
      const bytes = Buffer.allocUnsafe(length);
      await client.read(bytes, offsetBytes);
      await file.write(bytes, 0, length, offsetBytes);
    });
    copies.push(copy);
  }
  // All of them are over before the file is closed; then the first failure counts.
  const failed = (await Promise.allSettled(copies)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/** [startBlock, count] for each run of blocks that are not zero, at most RUN_BLOCKS_MAX long. */
export function* nonZeroRuns(recipe: Recipe): Generator<readonly [number, number]> {
  let row = 0;
  let [start, count] = [0, 0];
  const segments = recipe.segmentBitmap.length * 8;
  for (let segment = 0; segment < segments; segment += 1) {
    if (((recipe.segmentBitmap[segment >> 3]! >> (segment & 7)) & 1) === 0) continue;
    const mask = recipe.blockMasks[row]!;
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
