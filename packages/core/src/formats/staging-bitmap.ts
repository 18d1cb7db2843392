/**
 * Room: formats. The bitmap of a staging directory (docs/formats/staging.md): which segments of a disk
 * are verified and durable, from which tier each of their blocks came, and the wire bytes counted so far.
 *
 * I1: every header and page is written to the older of its two slots; a torn write leaves the other.
 * I2: a slot counts only when its SHA-256, its place and its generation are right; parsing is total.
 * I3: a row (non-zero segment) is claimed exactly when its tier record is not 0.
 * I4: the wire note, in a slot of its own at the end, only ever adds to the header's wire bytes: one that is
 *     torn, older or of another generation changes nothing.
 */

import { hash } from 'node:crypto';
import type { Digest } from '../domain/digest.ts';
import { HASH_BYTES } from '../domain/digest.ts';
import { TIERS } from '../domain/tiers.ts';

export const BITMAP_SLOT_BYTES = 4096;
/** Rows in one page: with its header and checksum a page fills one slot. */
export const ROWS_PER_PAGE = 480;

const BITMAP_MAGIC = 'VMDNBMP1';
const PAGE_MAGIC = 0x45474150; // "PAGE"
const NOTE_MAGIC = 0x45524957; // "WIRE"
const BITMAP_VERSION = 1;
const CHECKED_BYTES = BITMAP_SLOT_BYTES - HASH_BYTES;
const WIRE_BYTES_AT = 104;
const NOTE_BYTES_AT = 32;
const RECORDS_AT = 32;
const RECORD_BYTES = 8;

export interface BitmapHeader {
  readonly digest: Digest;
  /** UUID of the staging file's generation. */
  readonly generation: string;
  readonly virtualSizeBytes: number;
  readonly rowCount: number;
  readonly sequence: number;
  /** The file was closed in order and not written since; then `mtimeNs` is its modification time. */
  readonly isClean: boolean;
  readonly mtimeNs: bigint;
  /** One number for each of TIERS. */
  readonly wireBytes: readonly number[];
}

/** Where the header's slot for this sequence number lies. */
export function headerSlotOffset(sequence: number): number {
  return (sequence & 1) * BITMAP_SLOT_BYTES;
}

/** Where a page's slot for this sequence number lies. */
export function pageSlotOffset(page: number, sequence: number): number {
  return (2 + 2 * page + (sequence & 1)) * BITMAP_SLOT_BYTES;
}

export function pageCount(rowCount: number): number {
  return Math.ceil(rowCount / ROWS_PER_PAGE);
}

/** Where the wire note's only slot lies: behind the last page. */
export function wireNoteOffset(rowCount: number): number {
  return (2 + 2 * pageCount(rowCount)) * BITMAP_SLOT_BYTES;
}

/** Length of the whole file. */
export function bitmapFileBytes(rowCount: number): number {
  return wireNoteOffset(rowCount) + BITMAP_SLOT_BYTES;
}

/** One header slot. */
export function encodeBitmapHeader(header: BitmapHeader): Uint8Array {
  const bytes = new Uint8Array(BITMAP_SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(BITMAP_MAGIC), 0);
  view.setUint32(8, BITMAP_VERSION, true);
  view.setUint32(12, header.isClean ? 1 : 0, true);
  view.setBigUint64(16, BigInt(header.sequence), true);
  view.setBigUint64(24, BigInt(header.virtualSizeBytes), true);
  bytes.set(hexBytes(header.digest), 32);
  bytes.set(uuidBytes(header.generation), 64);
  view.setUint32(80, header.rowCount, true);
  view.setBigInt64(88, header.mtimeNs, true);
  setTierNumbers(view, WIRE_BYTES_AT, header.wireBytes);
  return sealed(bytes);
}

/** Reads a header slot; undefined when it is torn, foreign or not a header. */
export function decodeBitmapHeader(bytes: Uint8Array): BitmapHeader | undefined {
  if (!isSealed(bytes)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < BITMAP_MAGIC.length; i += 1) {
    if (bytes[i] !== BITMAP_MAGIC.charCodeAt(i)) return undefined;
  }
  const sequence = Number(view.getBigUint64(16, true));
  const virtualSizeBytes = Number(view.getBigUint64(24, true));
  const wireBytes = tierNumbers(view, WIRE_BYTES_AT);
  const numbers = [sequence, virtualSizeBytes, ...wireBytes];
  if (view.getUint32(8, true) !== BITMAP_VERSION || !numbers.every(Number.isSafeInteger)) {
    return undefined;
  }
  return {
    digest: hexOf(bytes.subarray(32, 64)) as Digest,
    generation: uuidOf(bytes.subarray(64, 80)),
    virtualSizeBytes,
    rowCount: view.getUint32(80, true),
    sequence,
    isClean: (view.getUint32(12, true) & 1) === 1,
    mtimeNs: view.getBigInt64(88, true),
    wireBytes,
  };
}

/**
 * One page slot: the tier records (two words each) of rows from page · ROWS_PER_PAGE on, out of a column
 * over all rows.
 */
export function encodeBitmapPage(
  page: number,
  sequence: number,
  generation: string,
  records: Uint32Array,
): Uint8Array {
  const bytes = new Uint8Array(BITMAP_SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, PAGE_MAGIC, true);
  view.setUint32(4, page, true);
  view.setBigUint64(8, BigInt(sequence), true);
  bytes.set(uuidBytes(generation), 16);
  const first = 2 * page * ROWS_PER_PAGE;
  const last = Math.min(records.length, first + 2 * ROWS_PER_PAGE);
  for (let word = first; word < last; word += 1) {
    view.setUint32(RECORDS_AT + (word - first) * 4, records[word]!, true);
  }
  return sealed(bytes);
}

/** Reads a page slot into the column; returns its sequence number, or undefined when it doesn't count. */
export function decodeBitmapPage(
  bytes: Uint8Array,
  page: number,
  generation: string,
): { readonly sequence: number; readonly copyInto: (records: Uint32Array) => void } | undefined {
  if (!isSealed(bytes)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== PAGE_MAGIC || view.getUint32(4, true) !== page) return undefined;
  if (uuidOf(bytes.subarray(16, 32)) !== generation) return undefined;
  const sequence = Number(view.getBigUint64(8, true));
  if (!Number.isSafeInteger(sequence)) return undefined;
  return {
    sequence,
    copyInto: (records) => {
      const first = 2 * page * ROWS_PER_PAGE;
      const last = Math.min(records.length, first + (ROWS_PER_PAGE * RECORD_BYTES) / 4);
      for (let word = first; word < last; word += 1) {
        records[word] = view.getUint32(RECORDS_AT + (word - first) * 4, true);
      }
    },
  };
}

/** The slot of the wire note: bytes by tier, one number for each of TIERS. */
export function encodeWireNote(generation: string, wireBytes: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(BITMAP_SLOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, NOTE_MAGIC, true);
  bytes.set(uuidBytes(generation), 16);
  setTierNumbers(view, NOTE_BYTES_AT, wireBytes);
  return sealed(bytes);
}

/** Reads the wire note; undefined when it is absent, torn, or of another generation. */
export function decodeWireNote(bytes: Uint8Array, generation: string): number[] | undefined {
  if (!isSealed(bytes)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== NOTE_MAGIC) return undefined;
  if (uuidOf(bytes.subarray(16, 32)) !== generation) return undefined;
  const wireBytes = tierNumbers(view, NOTE_BYTES_AT);
  return wireBytes.every(Number.isSafeInteger) ? wireBytes : undefined;
}

function tierNumbers(view: DataView, at: number): number[] {
  return TIERS.map((_, tier) => Number(view.getBigUint64(at + 8 * tier, true)));
}

function setTierNumbers(view: DataView, at: number, numbers: readonly number[]): void {
  for (let tier = 0; tier < TIERS.length; tier += 1) {
    view.setBigUint64(at + 8 * tier, BigInt(numbers[tier] ?? 0), true);
  }
}

function sealed(bytes: Uint8Array): Uint8Array {
  bytes.set(hash('sha256', bytes.subarray(0, CHECKED_BYTES), 'buffer'), CHECKED_BYTES);
  return bytes;
}

function isSealed(bytes: Uint8Array): boolean {
  if (bytes.length !== BITMAP_SLOT_BYTES) return false;
  const found = hash('sha256', bytes.subarray(0, CHECKED_BYTES), 'buffer');
  return found.equals(bytes.subarray(CHECKED_BYTES));
}

function hexBytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function uuidBytes(uuid: string): Uint8Array {
  return hexBytes(uuid.replaceAll('-', ''));
}

function uuidOf(bytes: Uint8Array): string {
  return hexOf(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
