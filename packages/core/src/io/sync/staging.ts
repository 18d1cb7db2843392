/**
 * Room: io, sync. The staging directory of one disk (docs/formats/staging.md): `disk.raw`, `recipe`,
 * `state`, `bitmap`.
 *
 * I1: order: data, fdatasync, bitmap pages and header, fdatasync. A bit never stands for bytes that a
 *     power cut could take away.
 * I2: the bitmap is believed without a second look only when it was closed in order and `disk.raw` is
 *     the same file (inode, size, modification time) since. Everything else is `doubtful`.
 * I3: state names the digest and the generation before the first byte of that generation is written;
 *     another digest or a foreign file begins a new generation in which nothing is believed.
 * I4: a fresh disk.raw is created empty and extended, so its zero segments read as zero by construction.
 *     In a doubtful one nothing is known, zero segments included; only who looked at all of it may
 *     close it as clean.
 */

import { randomUUID } from 'node:crypto';
import { constants, type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../domain/digest.ts';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { ID_PATTERN } from '../../domain/names.ts';
import type { DiskPlan } from '../../domain/plan.ts';
import { encodeRecipe } from '../../formats/recipe.ts';
import { durableWrite } from '../files/durable-write.ts';
import {
  ensurePrivateDir,
  fileError,
  fsyncDir,
  readBoundedFile,
  sweepTemps,
} from '../files/files.ts';
import type { StagingArea, StagingAreas, StagingState } from '../ports/disk-assembly.ts';
import { BitmapFile } from './bitmap-file.ts';

const STATE_SCHEMA = 'vmdn-staging/1';
/** A state file has some 250 bytes. */
const MAX_STATE_BYTES = 4096;

interface State extends StagingState {
  /** Inode of disk.raw: another file in its place is noticed. */
  readonly inode: string;
}

/** The staging directories of this machine. One process owns them; nobody else opens them meanwhile. */
export function createStagingAreas(): StagingAreas {
  return { open: openStaging };
}

/** What the staging directory `dir` says of itself; null when there is nothing to resume. */
export async function readStagingState(dir: string): Promise<StagingState | null> {
  return (await readState(dir)) ?? null;
}

const diskPath = (dir: string): string => join(dir, 'disk.raw');
const recipePath = (dir: string): string => join(dir, 'recipe');
const statePath = (dir: string): string => join(dir, 'state');
const bitmapPath = (dir: string): string => join(dir, 'bitmap');

async function openStaging(dir: string, plan: DiskPlan): Promise<StagingArea> {
  try {
    await ensurePrivateDir(dir);
    await sweepTemps(dir);
    const state = await readState(dir);
    const disk = await openDisk(dir);
    if (disk === undefined) return await createFresh(dir, plan);
    try {
      return await reopen(dir, plan, state, disk);
    } catch (error) {
      await disk.close();
      throw error;
    }
  } catch (error) {
    throw fileError(error, dir);
  }
}

async function createFresh(dir: string, plan: DiskPlan): Promise<StagingArea> {
  for (const path of [statePath(dir), bitmapPath(dir), recipePath(dir)]) {
    await rm(path, { force: true });
  }
  await durableWrite(recipePath(dir), encodeRecipe(plan.wanted));
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const disk = await open(diskPath(dir), flags, 0o600);
  try {
    await disk.truncate(plan.wanted.virtualSizeBytes);
    const state = await stateFor(plan, disk);
    const bitmap = await BitmapFile.create(bitmapPath(dir), plan, state.generation);
    await disk.sync();
    await writeState(dir, state);
    return new OpenStaging({
      dir,
      disk,
      bitmap,
      condition: 'fresh',
      records: newRecords(plan),
    });
  } catch (error) {
    await disk.close();
    throw error;
  }
}

async function reopen(
  dir: string,
  plan: DiskPlan,
  state: State | undefined,
  disk: FileHandle,
): Promise<StagingArea> {
  const { size, ino, mtimeNs } = await disk.stat({ bigint: true });
  const isSameFile =
    state?.digest === plan.digest &&
    state.inode === String(ino) &&
    size === BigInt(plan.wanted.virtualSizeBytes);
  const records = newRecords(plan);
  const bitmap = isSameFile
    ? await BitmapFile.open(bitmapPath(dir), plan, state.generation, records)
    : undefined;
  if (bitmap === undefined) return adopt(dir, plan, disk);
  const isTrusted = bitmap.isClean && bitmap.mtimeNs === mtimeNs;
  await bitmap.markUnclean();
  return new OpenStaging({
    dir,
    disk,
    bitmap,
    condition: isTrusted ? 'trusted' : 'doubtful',
    records,
  });
}

/** Begins a new generation over a file of which nothing is known: another disk's, or a foreign one. */
async function adopt(dir: string, plan: DiskPlan, disk: FileHandle): Promise<StagingArea> {
  await durableWrite(recipePath(dir), encodeRecipe(plan.wanted));
  const state = await stateFor(plan, disk);
  await writeState(dir, state);
  await disk.truncate(plan.wanted.virtualSizeBytes);
  const bitmap = await BitmapFile.create(bitmapPath(dir), plan, state.generation);
  await fsyncDir(dir);
  const records = newRecords(plan);
  return new OpenStaging({ dir, disk, bitmap, condition: 'doubtful', records });
}

interface Opened {
  readonly dir: string;
  readonly disk: FileHandle;
  readonly bitmap: BitmapFile;
  readonly condition: StagingArea['condition'];
  readonly records: Uint32Array;
}

class OpenStaging implements StagingArea {
  readonly path: string;
  readonly recipePath: string;
  readonly condition: StagingArea['condition'];
  readonly records: Uint32Array;
  readonly wireBytes: readonly number[];
  readonly #disk: FileHandle;
  readonly #bitmap: BitmapFile;

  constructor(opened: Opened) {
    this.path = diskPath(opened.dir);
    this.recipePath = recipePath(opened.dir);
    this.condition = opened.condition;
    this.records = opened.records;
    this.wireBytes = opened.bitmap.wireBytes;
    this.#disk = opened.disk;
    this.#bitmap = opened.bitmap;
  }

  async commit(
    rows: readonly number[],
    records: Uint32Array,
    wireBytes: readonly number[],
  ): Promise<void> {
    const prepared = this.#bitmap.prepare(rows, records, wireBytes);
    try {
      await this.#disk.datasync();
      await prepared();
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  async note(wireBytes: readonly number[]): Promise<void> {
    try {
      await this.#bitmap.note(wireBytes);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  async close(isClean: boolean): Promise<void> {
    try {
      if (isClean) await this.#bitmap.markClean((await this.#disk.stat({ bigint: true })).mtimeNs);
    } catch (error) {
      throw fileError(error, this.path);
    } finally {
      await this.#bitmap.close();
      await this.#disk.close();
    }
  }
}

async function openDisk(dir: string): Promise<FileHandle | undefined> {
  try {
    return await open(diskPath(dir), constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (isVmdnError(fileError(error, dir), 'not_found')) return undefined;
    throw error;
  }
}

function newRecords(plan: DiskPlan): Uint32Array {
  return new Uint32Array(2 * plan.wanted.blockMasks.length);
}

async function stateFor(plan: DiskPlan, disk: FileHandle): Promise<State> {
  const { ino } = await disk.stat({ bigint: true });
  return {
    digest: plan.digest,
    virtualSizeBytes: plan.wanted.virtualSizeBytes,
    generation: randomUUID(),
    inode: String(ino),
  };
}

async function writeState(dir: string, state: State): Promise<void> {
  const text = JSON.stringify({ schema: STATE_SCHEMA, ...state }, null, 2);
  await durableWrite(statePath(dir), new TextEncoder().encode(`${text}\n`));
}

/** The state file's content; undefined when there is none, or none that can be understood. */
async function readState(dir: string): Promise<State | undefined> {
  let raw: unknown;
  try {
    raw = JSON.parse(
      new TextDecoder().decode(await readBoundedFile(statePath(dir), MAX_STATE_BYTES)),
    );
  } catch (error) {
    const isAbsent = isVmdnError(error, 'not_found') || isVmdnError(error, 'too_large');
    if (isAbsent || error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof raw !== 'object' || raw === null) return undefined;
  const { schema, digest, virtualSizeBytes, generation, inode } = raw as Record<string, unknown>;
  const isUnderstood =
    schema === STATE_SCHEMA &&
    isDigest(digest) &&
    Number.isSafeInteger(virtualSizeBytes) &&
    typeof generation === 'string' &&
    ID_PATTERN.test(generation) &&
    typeof inode === 'string';
  if (!isUnderstood) return undefined;
  return {
    digest: digest as Digest,
    virtualSizeBytes: virtualSizeBytes as number,
    generation,
    inode,
  };
}

/** For who finds a staging area in use. */
export function stagingInUse(dir: string): VmdnError {
  return new VmdnError('conflict', `${dir} is being filled already; wait for that to end.`, {
    data: { dir },
  });
}
