/**
 * Room: io, sync. The staging directory of one disk (docs/formats/staging.md): `disk.raw` or `disk.qcow2`,
 * `recipe`, `state`, `bitmap`.
 *
 * I1: order: data, fdatasync, bitmap pages and header, fdatasync. A bit never stands for bytes that a
 *     power cut could take away.
 * I2: the bitmap is believed without a second look only when it was closed in order and the disk is
 *     the same file (inode, size, modification time) since. Everything else is `doubtful`.
 * I3: state names the digest and the generation before the first byte of that generation is written;
 *     another digest or a foreign file begins a new generation in which nothing is believed.
 * I4: a fresh disk.raw is created empty and extended, so its zero segments read as zero by construction.
 *     In a doubtful one nothing is known, zero segments included; only who looked at all of it may
 *     close it as clean.
 * I5: the tables of a disk that shares storage are written when it is closed as clean. They are believed
 *     only for the base that the state names; with another base, or none, the disk is doubtful.
 */

import { randomUUID } from 'node:crypto';
import { constants, type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../domain/digest.ts';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import {
  BASE_FILE,
  type ImageLayers,
  isColumnOf,
  ownSegments,
  rawLayers,
  ZERO_FILE,
} from '../../domain/layers.ts';
import { ID_PATTERN } from '../../domain/names.ts';
import type { DiskPlan } from '../../domain/plan.ts';
import { recipePieces } from '../../formats/recipe.ts';
import { durableWrite } from '../files/durable-write.ts';
import {
  ensurePrivateDir,
  fileError,
  fsyncDir,
  readBoundedFile,
  sweepTemps,
} from '../files/files.ts';
import {
  DISK_FILE,
  type DiskFileFormat,
  diskFileBytes,
  diskOffsetBytes,
  findDiskFile,
  readSharedTables,
  writeSharedTables,
} from '../files/shared-file.ts';
import type { StagingArea, StagingAreas, StagingState } from '../ports/disk-assembly.ts';
import { BitmapFile } from './bitmap-file.ts';

const STATE_SCHEMA = 'vmdn-staging/1';
/** A state file has some 250 bytes. */
const MAX_STATE_BYTES = 4096;

interface State extends StagingState {
  /** Inode of the disk: another file in its place is noticed. */
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

const recipePath = (dir: string): string => join(dir, 'recipe');
const statePath = (dir: string): string => join(dir, 'state');
const bitmapPath = (dir: string): string => join(dir, 'bitmap');

/** The disk's file, open, and how it is laid out. */
interface Disk {
  readonly file: FileHandle;
  readonly path: string;
  readonly format: DiskFileFormat;
}

async function openStaging(dir: string, plan: DiskPlan): Promise<StagingArea> {
  try {
    await ensurePrivateDir(dir);
    await sweepTemps(dir);
    const state = await readState(dir);
    const format = await findDiskFile(dir);
    if (format === null) return await createFresh(dir, plan);
    const path = join(dir, DISK_FILE[format]);
    const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      return await reopen(dir, plan, state, { file, path, format });
    } catch (error) {
      await file.close();
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
  await durableWrite(recipePath(dir), recipePieces(plan.wanted));
  const format = plan.share === null ? 'raw' : 'qcow2';
  const path = join(dir, DISK_FILE[format]);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  const disk = { file, path, format } as const;
  try {
    await file.truncate(diskFileBytes(format, plan.wanted.virtualSizeBytes));
    const state = await stateFor(plan, disk);
    const bitmap = await BitmapFile.create(bitmapPath(dir), plan, state.generation);
    await file.sync();
    await writeState(dir, state);
    return new OpenStaging({
      ...{ dir, plan, disk, bitmap },
      condition: 'fresh',
      records: newRecords(plan),
      layers: layersOf(plan, disk),
    });
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function reopen(
  dir: string,
  plan: DiskPlan,
  state: State | undefined,
  disk: Disk,
): Promise<StagingArea> {
  const { size, ino, mtimeNs } = await disk.file.stat({ bigint: true });
  const isSameFile =
    state?.digest === plan.digest &&
    state.inode === String(ino) &&
    size === BigInt(diskFileBytes(disk.format, plan.wanted.virtualSizeBytes));
  const records = newRecords(plan);
  const bitmap = isSameFile
    ? await BitmapFile.open(bitmapPath(dir), plan, state.generation, records)
    : undefined;
  if (bitmap === undefined) return adopt(dir, plan, disk);
  const layers = layersOf(plan, disk);
  const isTrusted =
    bitmap.isClean &&
    bitmap.mtimeNs === mtimeNs &&
    state?.base === baseOf(plan, disk) &&
    (await readColumn(plan, disk, layers, records));
  await bitmap.markUnclean();
  if (state?.base !== baseOf(plan, disk))
    await writeState(dir, { ...state!, base: baseOf(plan, disk) });
  const condition = isTrusted ? 'trusted' : 'doubtful';
  return new OpenStaging({ dir, plan, disk, bitmap, condition, records, layers });
}

/** Begins a new generation over a file of which nothing is known: another disk's, or a foreign one. */
async function adopt(dir: string, plan: DiskPlan, disk: Disk): Promise<StagingArea> {
  await durableWrite(recipePath(dir), recipePieces(plan.wanted));
  const state = await stateFor(plan, disk);
  await writeState(dir, state);
  await disk.file.truncate(diskFileBytes(disk.format, plan.wanted.virtualSizeBytes));
  const bitmap = await BitmapFile.create(bitmapPath(dir), plan, state.generation);
  await fsyncDir(dir);
  const records = newRecords(plan);
  const layers = layersOf(plan, disk);
  return new OpenStaging({ dir, plan, disk, bitmap, condition: 'doubtful', records, layers });
}

/** The base that a disk of this format can share with, as planned. */
function baseOf(plan: DiskPlan, { format }: Pick<Disk, 'format'>): Digest | null {
  if (format === 'raw' || plan.share === null) return null;
  return plan.images[plan.share.image]!.digest;
}

/** All rows in the disk's own file, for the present. */
function layersOf(plan: DiskPlan, { path, format }: Disk): ImageLayers {
  if (format === 'raw') return rawLayers(path);
  const own = { path, offsetBytes: diskOffsetBytes(format, plan.wanted.virtualSizeBytes) };
  const base = plan.share === null ? [] : plan.images[plan.share.image]!.layers.files;
  return { files: [own, ...base], fileOfSegment: ownSegments(plan.wanted) };
}

/** Takes over which of the claimed rows lie in the base. False when the tables do not say it. */
async function readColumn(
  plan: DiskPlan,
  disk: Disk,
  layers: ImageLayers,
  records: Uint32Array,
): Promise<boolean> {
  if (disk.format === 'raw') return true;
  const { virtualSizeBytes } = plan.wanted;
  const tables = await readSharedTables(disk.path, virtualSizeBytes).catch(() => null);
  const isOfBase = tables?.base === null || tables?.base === baseOf(plan, disk);
  if (tables === null || !isOfBase) return false;
  const { base, fileOfSegment } = tables;
  if (!isColumnOf(plan.wanted, fileOfSegment, base !== null)) return false;
  let row = 0;
  for (let segment = 0; segment < fileOfSegment.length; segment += 1) {
    if (fileOfSegment[segment] === ZERO_FILE) continue;
    if (records[2 * row] !== 0) layers.fileOfSegment![segment] = fileOfSegment[segment]!;
    row += 1;
  }
  return true;
}

interface Opened {
  readonly dir: string;
  readonly plan: DiskPlan;
  readonly disk: Disk;
  readonly bitmap: BitmapFile;
  readonly condition: StagingArea['condition'];
  readonly records: Uint32Array;
  readonly layers: ImageLayers;
}

class OpenStaging implements StagingArea {
  readonly path: string;
  readonly recipePath: string;
  readonly layers: ImageLayers;
  readonly condition: StagingArea['condition'];
  readonly records: Uint32Array;
  readonly wireBytes: readonly number[];
  readonly #opened: Opened;

  constructor(opened: Opened) {
    this.path = opened.disk.path;
    this.recipePath = recipePath(opened.dir);
    this.layers = opened.layers;
    this.condition = opened.condition;
    this.records = opened.records;
    this.wireBytes = opened.bitmap.wireBytes;
    this.#opened = opened;
  }

  async commit(
    rows: readonly number[],
    records: Uint32Array,
    wireBytes: readonly number[],
  ): Promise<void> {
    const { bitmap, disk } = this.#opened;
    const prepared = bitmap.prepare(rows, records, wireBytes);
    try {
      await disk.file.datasync();
      await prepared();
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  async note(wireBytes: readonly number[]): Promise<void> {
    try {
      await this.#opened.bitmap.note(wireBytes);
    } catch (error) {
      throw fileError(error, this.path);
    }
  }

  async close(isClean: boolean): Promise<void> {
    const { bitmap, disk } = this.#opened;
    try {
      if (isClean) {
        await this.#writeTables();
        await bitmap.markClean((await disk.file.stat({ bigint: true })).mtimeNs);
      }
    } catch (error) {
      throw fileError(error, this.path);
    } finally {
      await bitmap.close();
      await disk.file.close();
    }
  }

  async #writeTables(): Promise<void> {
    const { fileOfSegment } = this.layers;
    if (fileOfSegment === null) return;
    const { plan, disk } = this.#opened;
    const base = fileOfSegment.includes(BASE_FILE) ? baseOf(plan, disk) : null;
    const { virtualSizeBytes } = plan.wanted;
    await writeSharedTables(disk.file, { virtualSizeBytes, base, fileOfSegment });
  }
}

function newRecords(plan: DiskPlan): Uint32Array {
  return new Uint32Array(2 * plan.wanted.blockMasks.length);
}

async function stateFor(plan: DiskPlan, disk: Disk): Promise<State> {
  const { ino } = await disk.file.stat({ bigint: true });
  return {
    digest: plan.digest,
    virtualSizeBytes: plan.wanted.virtualSizeBytes,
    generation: randomUUID(),
    inode: String(ino),
    base: baseOf(plan, disk),
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
  const { base = null } = raw as Record<string, unknown>;
  const isUnderstood =
    schema === STATE_SCHEMA &&
    isDigest(digest) &&
    Number.isSafeInteger(virtualSizeBytes) &&
    typeof generation === 'string' &&
    ID_PATTERN.test(generation) &&
    typeof inode === 'string' &&
    (base === null || isDigest(base));
  if (!isUnderstood) return undefined;
  return {
    digest: digest as Digest,
    virtualSizeBytes: virtualSizeBytes as number,
    generation,
    inode,
    base: base as Digest | null,
  };
}

/** For who finds a staging area in use. */
export function stagingInUse(dir: string): VmdnError {
  return new VmdnError('conflict', `${dir} is being filled already; wait for that to end.`, {
    data: { dir },
  });
}
