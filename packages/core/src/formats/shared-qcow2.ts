/**
 * Room: formats. The file of a disk that shares storage with a base image (docs/formats/shared-disk.md):
 * an ordinary qcow2 whose layout follows from the virtual size alone, so that its tables say no more
 * than which segments are its own, which the base's, which zero.
 *
 * I1: a cluster is a segment; segment i of its own lies at `dataAt` + i · 64 KiB, or nowhere.
 * I2: decode is total and exact: whatever is not byte for byte what encode writes is `corrupt`. Nothing
 *     is followed: the base's name is a digest in one fixed form.
 * I3: every zero segment is marked zero, whatever the base holds there.
 */

import { type Digest, isDigest } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { BASE_FILE, OWN_FILE, ZERO_FILE } from '../domain/layers.ts';
import { divCeil, SEGMENT_BYTES, segmentCount } from '../domain/units.ts';

const CLUSTER_BYTES = SEGMENT_BYTES;
const CLUSTER_BITS = 16;
/** Entries of 8 bytes in a cluster of a table. */
const ENTRIES_PER_CLUSTER = CLUSTER_BYTES / 8;
/** Counts of 2 bytes in a cluster of counts. */
const COUNTS_PER_CLUSTER = CLUSTER_BYTES / 2;
const COUNT_ORDER = 4;
const HEADER_BYTES = 104;
const EXTENSION_BACKING_FORMAT = 0xe2792aca;
const BACKING_FORMAT = 'raw';
/** After the header, the extension for the backing file's format and the mark that ends extensions. */
const BACKING_NAME_AT = HEADER_BYTES + 16 + 8;
/** In the high word of an entry: the cluster is used once. */
const COPIED = 0x80000000;
const ZERO_ENTRY = 1;

/** Offsets in bytes. */
export interface SharedLayout {
  readonly countTableAt: number;
  readonly countTableClusters: number;
  readonly countsAt: number;
  readonly countClusters: number;
  readonly l1At: number;
  readonly l2At: number;
  readonly l2Clusters: number;
  readonly dataAt: number;
  readonly segments: number;
  /** Length of the file. */
  readonly fileBytes: number;
}

export interface SharedDisk {
  readonly virtualSizeBytes: number;
  /** The image below; null: nothing is shared. */
  readonly base: Digest | null;
  /** OWN_FILE, BASE_FILE or ZERO_FILE for each segment. */
  readonly fileOfSegment: Uint8Array;
}

/** The layout of a shared disk's file. */
export function sharedLayout(virtualSizeBytes: number): SharedLayout {
  const segments = segmentCount(virtualSizeBytes);
  const l2Clusters = Math.max(1, divCeil(segments, ENTRIES_PER_CLUSTER));
  const l1Clusters = divCeil(l2Clusters, ENTRIES_PER_CLUSTER);
  // The counts count themselves.
  for (let countClusters = 1; ; countClusters += 1) {
    const countTableClusters = divCeil(countClusters, ENTRIES_PER_CLUSTER);
    const countsFrom = 1 + countTableClusters;
    const l1From = countsFrom + countClusters;
    const dataFrom = l1From + l1Clusters + l2Clusters;
    if (dataFrom + segments > countClusters * COUNTS_PER_CLUSTER) continue;
    return {
      countTableAt: CLUSTER_BYTES,
      countTableClusters,
      countsAt: countsFrom * CLUSTER_BYTES,
      countClusters,
      l1At: l1From * CLUSTER_BYTES,
      l2At: (l1From + l1Clusters) * CLUSTER_BYTES,
      l2Clusters,
      dataAt: dataFrom * CLUSTER_BYTES,
      segments,
      fileBytes: (dataFrom + segments) * CLUSTER_BYTES,
    };
  }
}

/** Name of a base as headers have it: seen from the place of a disk in the store. */
export function baseName(base: Digest): string {
  return `../${base}/disk.raw`;
}

/** All that is not data of a shared disk's file, in clusters. */
export function* encodeSharedTables(
  disk: SharedDisk,
): Generator<{ readonly offset: number; readonly bytes: Uint8Array }> {
  const layout = sharedLayout(disk.virtualSizeBytes);
  yield { offset: 0, bytes: encodeHeader(disk, layout) };
  const { countTableAt, countTableClusters, countsAt, countClusters } = layout;
  const countTable = pointers(countTableClusters, countClusters, countsAt, 0);
  yield { offset: countTableAt, bytes: countTable };
  for (let i = 0; i < countClusters; i += 1) {
    yield { offset: countsAt + i * CLUSTER_BYTES, bytes: encodeCounts(disk, layout, i) };
  }
  yield { offset: layout.l1At, bytes: encodeL1(layout) };
  for (let i = 0; i < layout.l2Clusters; i += 1) {
    yield { offset: layout.l2At + i * CLUSTER_BYTES, bytes: encodeL2(disk, layout, i) };
  }
}

/**
 * The base that the first cluster of a file names, null for none. Throws `corrupt` when the cluster is
 * not the header of a shared disk of this size (I2).
 */
export function decodeSharedHeader(bytes: Uint8Array, virtualSizeBytes: number): Digest | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isLongEnough = bytes.length === CLUSTER_BYTES;
  const nameBytes = isLongEnough ? view.getUint32(16) : 0;
  const name = bytes.subarray(BACKING_NAME_AT, BACKING_NAME_AT + Math.min(nameBytes, 128));
  const digest = Buffer.from(name).toString('latin1').slice(3, 67);
  const base = isDigest(digest) ? digest : null;
  const expected = encodeHeader({ virtualSizeBytes, base }, sharedLayout(virtualSizeBytes));
  if (!isLongEnough || Buffer.compare(bytes, expected) !== 0) throw damaged('header');
  return base;
}

/** Throws `corrupt` when the bytes at `l1At` are not the first table. */
export function checkSharedL1(bytes: Uint8Array, layout: SharedLayout): void {
  if (Buffer.compare(bytes, encodeL1(layout)) !== 0) throw damaged('first table');
}

/** Reads cluster `cluster` of the second tables into `fileOfSegment`. Throws `corrupt`. */
export function decodeSharedL2(
  bytes: Uint8Array,
  cluster: number,
  layout: SharedLayout,
  fileOfSegment: Uint8Array,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length !== CLUSTER_BYTES) throw damaged('second table');
  for (let i = 0; i < ENTRIES_PER_CLUSTER; i += 1) {
    const segment = cluster * ENTRIES_PER_CLUSTER + i;
    const [high, low] = [view.getUint32(8 * i), view.getUint32(8 * i + 4)];
    const file = fileOfEntry(high, low, layout.dataAt + segment * SEGMENT_BYTES);
    if (segment < layout.segments) fileOfSegment[segment] = file;
    else if (file !== BASE_FILE) throw damaged('second table');
  }
}

function fileOfEntry(high: number, low: number, ownAt: number): number {
  if (high === 0 && low === 0) return BASE_FILE;
  if (high === 0 && low === ZERO_ENTRY) return ZERO_FILE;
  const isOwn = high === (COPIED | Math.floor(ownAt / 2 ** 32)) >>> 0 && low === ownAt >>> 0;
  if (!isOwn) throw damaged('second table');
  return OWN_FILE;
}

function encodeHeader(disk: Omit<SharedDisk, 'fileOfSegment'>, layout: SharedLayout): Uint8Array {
  const bytes = new Uint8Array(CLUSTER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(Buffer.from('QFI\xfb', 'latin1'));
  view.setUint32(4, 3);
  view.setUint32(20, CLUSTER_BITS);
  setNumber(view, 24, disk.virtualSizeBytes);
  view.setUint32(36, layout.l2Clusters);
  setNumber(view, 40, layout.l1At);
  setNumber(view, 48, layout.countTableAt);
  view.setUint32(56, layout.countTableClusters);
  view.setUint32(96, COUNT_ORDER);
  view.setUint32(100, HEADER_BYTES);
  if (disk.base === null) return bytes;
  const name = Buffer.from(baseName(disk.base), 'latin1');
  setNumber(view, 8, BACKING_NAME_AT);
  view.setUint32(16, name.length);
  view.setUint32(HEADER_BYTES, EXTENSION_BACKING_FORMAT);
  view.setUint32(HEADER_BYTES + 4, BACKING_FORMAT.length);
  bytes.set(Buffer.from(BACKING_FORMAT, 'latin1'), HEADER_BYTES + 8);
  bytes.set(name, BACKING_NAME_AT);
  return bytes;
}

/** Cluster `cluster` of the counts of uses: tables are used once, and so is data of the disk's own. */
function encodeCounts(disk: SharedDisk, layout: SharedLayout, cluster: number): Uint8Array {
  const bytes = new Uint8Array(CLUSTER_BYTES);
  const dataFrom = layout.dataAt / CLUSTER_BYTES;
  for (let i = 0; i < COUNTS_PER_CLUSTER; i += 1) {
    const used = cluster * COUNTS_PER_CLUSTER + i;
    const segment = used - dataFrom;
    const isUsed = segment < 0 || disk.fileOfSegment[segment] === OWN_FILE;
    if (isUsed) bytes[2 * i + 1] = 1;
  }
  return bytes;
}

function encodeL1({ l1At, l2At, l2Clusters }: SharedLayout): Uint8Array {
  return pointers((l2At - l1At) / CLUSTER_BYTES, l2Clusters, l2At, COPIED);
}

function encodeL2(disk: SharedDisk, layout: SharedLayout, cluster: number): Uint8Array {
  const bytes = new Uint8Array(CLUSTER_BYTES);
  const view = new DataView(bytes.buffer);
  const first = cluster * ENTRIES_PER_CLUSTER;
  const count = Math.min(ENTRIES_PER_CLUSTER, layout.segments - first);
  for (let i = 0; i < count; i += 1) {
    const file = disk.fileOfSegment[first + i];
    if (file === ZERO_FILE) view.setUint32(8 * i + 4, ZERO_ENTRY);
    else if (file === OWN_FILE) {
      setNumber(view, 8 * i, layout.dataAt + (first + i) * SEGMENT_BYTES, COPIED);
    }
  }
  return bytes;
}

/** A table of `count` clusters in a row from `at` on. */
function pointers(clusters: number, count: number, at: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(clusters * CLUSTER_BYTES);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i += 1) setNumber(view, 8 * i, at + i * CLUSTER_BYTES, flags);
  return bytes;
}

/** A 64-bit big-endian number; `flags` go into its high word. */
function setNumber(view: DataView, at: number, value: number, flags = 0): void {
  view.setUint32(at, (Math.floor(value / 2 ** 32) | flags) >>> 0);
  view.setUint32(at + 4, value >>> 0);
}

function damaged(what: string): VmdnError {
  return new VmdnError(
    'corrupt',
    `The ${what} of a shared disk is damaged; the disk is made again.`,
  );
}
