/**
 * Room: formats. The messages of the NBD protocol as a server sees them: it reads options and requests and
 * writes replies (constants, and the client's half: nbd.ts).
 *
 * I1: parsing is total: any bytes give a value, or null when a client broke the protocol.
 * I2: nothing is believed: a length is compared with the bytes that are there, an offset may be any u64.
 */

import { NBD_STRING_BYTES_MAX } from '../domain/limits.ts';
import * as nbd from './nbd.ts';

export const NBD_OPTION_HEADER_BYTES = 16;
/** A chunk's header and the offset of its data, or all of a hole but its size. */
export const NBD_DATA_CHUNK_BYTES = 28;
export const NBD_HOLE_CHUNK_BYTES = 32;
const CHUNK_HEADER_BYTES = nbd.NBD_SIMPLE_REPLY_BYTES + nbd.NBD_CHUNK_LENGTH_BYTES;
const EXPORT_NAME_ZEROES = 124;

/** The server's first words. */
export function encodeGreeting(): Uint8Array {
  const bytes = new Uint8Array(nbd.NBD_GREETING_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, nbd.NBD_MAGIC);
  view.setBigUint64(8, nbd.NBD_OPTION_MAGIC);
  view.setUint16(16, nbd.HANDSHAKE_FIXED_NEWSTYLE | nbd.HANDSHAKE_NO_ZEROES);
  return bytes;
}

/** The client's answer: whether it does without zeroes; null: flags that were not offered. */
export function parseClientFlags(bytes: Uint8Array): { noZeroes: boolean } | null {
  const flags = viewOf(bytes).getUint32(0);
  const known = nbd.HANDSHAKE_FIXED_NEWSTYLE | nbd.HANDSHAKE_NO_ZEROES;
  // `>>> 0`: bits 31 are flags too.
  return (flags & ~known) >>> 0 === 0
    ? { noZeroes: (flags & nbd.HANDSHAKE_NO_ZEROES) !== 0 }
    : null;
}

/** The fixed part of an option; null: no option at all. */
export function parseOptionHeader(
  bytes: Uint8Array,
): { readonly option: number; readonly lengthBytes: number } | null {
  const view = viewOf(bytes);
  if (view.getBigUint64(0) !== nbd.NBD_OPTION_MAGIC) return null;
  return { option: view.getUint32(8), lengthBytes: view.getUint32(12) };
}

export function encodeOptionReply(
  option: number,
  type: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(nbd.NBD_OPTION_REPLY_BYTES + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, nbd.NBD_OPTION_REPLY_MAGIC);
  view.setUint32(8, option);
  view.setUint32(12, type);
  view.setUint32(16, data.length);
  bytes.set(data, nbd.NBD_OPTION_REPLY_BYTES);
  return bytes;
}

/** Takes pieces of option data from its beginning to its end. */
class OptionData {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** A big-endian number of 2 or 4 bytes; null past the end. */
  number(bytes: 2 | 4): number | null {
    if (this.#bytes.length - this.#at < bytes) return null;
    const value = bytes === 2 ? this.#view.getUint16(this.#at) : this.#view.getUint32(this.#at);
    this.#at += bytes;
    return value;
  }

  /** A string behind its length; null when it is none. */
  string(): string | null {
    const length = this.number(4);
    if (length === null || length > this.#bytes.length - this.#at) return null;
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return parseString(bytes);
  }
}

/** A string of the protocol: UTF-8 without NUL, of at most 4096 bytes; null for anything else. */
export function parseString(bytes: Uint8Array): string | null {
  if (bytes.length > NBD_STRING_BYTES_MAX || bytes.includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Data of NBD_OPT_INFO and NBD_OPT_GO: an export's name and what is to be told of it. */
export function parseExportChoice(
  bytes: Uint8Array,
): { readonly name: string; readonly infos: ReadonlySet<number> } | null {
  const data = new OptionData(bytes);
  const name = data.string();
  const count = data.number(2);
  if (name === null || count === null) return null;
  const infos = new Set<number>();
  for (let i = 0; i < count; i += 1) {
    const info = data.number(2);
    if (info === null) return null;
    infos.add(info);
  }
  return data.isAtEnd ? { name, infos } : null;
}

/** Data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT. */
export function parseContextQueries(
  bytes: Uint8Array,
): { readonly name: string; readonly queries: readonly string[] } | null {
  const data = new OptionData(bytes);
  const name = data.string();
  const count = data.number(4);
  if (name === null || count === null) return null;
  const queries: string[] = [];
  // Each takes 4 bytes at least: a lying count comes to the end of the data soon.
  for (let i = 0; i < count; i += 1) {
    const query = data.string();
    if (query === null) return null;
    queries.push(query);
  }
  return data.isAtEnd ? { name, queries } : null;
}

/** Data of NBD_REP_SERVER: one export. */
export function encodeServer(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(4 + text.length);
  viewOf(bytes).setUint32(0, text.length);
  bytes.set(text, 4);
  return bytes;
}

/** Data of NBD_REP_META_CONTEXT. */
export function encodeContext(id: number, name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(4 + text.length);
  viewOf(bytes).setUint32(0, id);
  bytes.set(text, 4);
  return bytes;
}

/** Data of NBD_REP_INFO with size and transmission flags. */
export function encodeInfoExport(sizeBytes: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  view.setUint16(0, nbd.INFO_EXPORT);
  view.setBigUint64(2, BigInt(sizeBytes));
  view.setUint16(10, flags);
  return bytes;
}

/** Data of NBD_REP_INFO with the least, the best and the greatest size of a request. */
export function encodeInfoBlockSize(min: number, preferred: number, max: number): Uint8Array {
  const bytes = new Uint8Array(14);
  const view = viewOf(bytes);
  view.setUint16(0, nbd.INFO_BLOCK_SIZE);
  view.setUint32(2, min);
  view.setUint32(6, preferred);
  view.setUint32(10, max);
  return bytes;
}

/** Data of NBD_REP_INFO with the export's name. */
export function encodeInfoName(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(2 + text.length);
  viewOf(bytes).setUint16(0, nbd.INFO_NAME);
  bytes.set(text, 2);
  return bytes;
}

/** The answer to NBD_OPT_EXPORT_NAME, which has no header. */
export function encodeExportName(sizeBytes: number, flags: number, noZeroes: boolean): Uint8Array {
  const bytes = new Uint8Array(10 + (noZeroes ? 0 : EXPORT_NAME_ZEROES));
  const view = viewOf(bytes);
  view.setBigUint64(0, BigInt(sizeBytes));
  view.setUint16(8, flags);
  return bytes;
}

/** A request as it came; one object is used for all of a connection. */
export interface Request {
  flags: number;
  command: number;
  /** The cookie, in two words. */
  cookieHigh: number;
  cookieLow: number;
  /** Exact below 2^53, beyond that about right: far behind the end of any disk. */
  offsetBytes: number;
  lengthBytes: number;
}

/** Reads the 28 bytes at `at`. False: no request. */
export function readRequest(view: DataView, at: number, request: Request): boolean {
  if (view.getUint32(at) !== nbd.NBD_REQUEST_MAGIC) return false;
  request.flags = view.getUint16(at + 4);
  request.command = view.getUint16(at + 6);
  request.cookieHigh = view.getUint32(at + 8);
  request.cookieLow = view.getUint32(at + 12);
  request.offsetBytes = view.getUint32(at + 16) * 2 ** 32 + view.getUint32(at + 20);
  request.lengthBytes = view.getUint32(at + 24);
  return true;
}

/** Which request a reply is for. */
export type Cookie = Pick<Request, 'cookieHigh' | 'cookieLow'>;

/** Writes a simple reply's header at `at`; returns where data go on. */
export function writeSimpleReply(
  view: DataView,
  at: number,
  error: number,
  { cookieHigh, cookieLow }: Cookie,
): number {
  view.setUint32(at, nbd.NBD_SIMPLE_REPLY_MAGIC);
  view.setUint32(at + 4, error);
  view.setUint32(at + 8, cookieHigh);
  view.setUint32(at + 12, cookieLow);
  return at + nbd.NBD_SIMPLE_REPLY_BYTES;
}

/** Writes the header of a read's data at `at`; returns where the data go. */
export function writeDataChunk(
  view: DataView,
  at: number,
  data: Pick<Request, 'cookieHigh' | 'cookieLow' | 'offsetBytes' | 'lengthBytes'>,
  isLast: boolean,
): number {
  writeChunk(view, at, nbd.CHUNK_OFFSET_DATA, isLast, 8 + data.lengthBytes, data);
  return writeOffset(view, at + CHUNK_HEADER_BYTES, data.offsetBytes);
}

/** Writes a stretch of zeros at `at`; returns what comes behind it. */
export function writeHoleChunk(
  view: DataView,
  at: number,
  hole: Pick<Request, 'cookieHigh' | 'cookieLow' | 'offsetBytes' | 'lengthBytes'>,
  isLast: boolean,
): number {
  writeChunk(view, at, nbd.CHUNK_OFFSET_HOLE, isLast, 12, hole);
  const size = writeOffset(view, at + CHUNK_HEADER_BYTES, hole.offsetBytes);
  view.setUint32(size, hole.lengthBytes);
  return size + 4;
}

/** Writes a block status of [length, flags] pairs at `at`; returns what comes behind it. */
export function writeBlockStatus(
  view: DataView,
  at: number,
  contextId: number,
  extents: readonly number[],
  cookie: Cookie,
): number {
  writeChunk(view, at, nbd.CHUNK_BLOCK_STATUS, true, 4 + extents.length * 4, cookie);
  let next = at + CHUNK_HEADER_BYTES;
  view.setUint32(next, contextId);
  for (const word of extents) {
    next += 4;
    view.setUint32(next, word);
  }
  return next + 4;
}

/** Writes a failed request's whole reply at `at`; returns what comes behind it. */
export function writeError(
  view: DataView,
  at: number,
  { number, words }: { readonly number: number; readonly words: Uint8Array },
  cookie: Cookie,
  isStructured: boolean,
): number {
  if (!isStructured) return writeSimpleReply(view, at, number, cookie);
  writeChunk(view, at, nbd.CHUNK_ERROR, true, 6 + words.length, cookie);
  const payload = at + CHUNK_HEADER_BYTES;
  view.setUint32(payload, number);
  view.setUint16(payload + 4, words.length);
  new Uint8Array(view.buffer, view.byteOffset).set(words, payload + 6);
  return payload + 6 + words.length;
}

function writeChunk(
  view: DataView,
  at: number,
  type: number,
  isLast: boolean,
  lengthBytes: number,
  cookie: Cookie,
): void {
  view.setUint32(at, nbd.NBD_CHUNK_MAGIC);
  view.setUint16(at + 4, isLast ? nbd.CHUNK_FLAG_DONE : 0);
  view.setUint16(at + 6, type);
  view.setUint32(at + 8, cookie.cookieHigh);
  view.setUint32(at + 12, cookie.cookieLow);
  view.setUint32(at + 16, lengthBytes);
}

function writeOffset(view: DataView, at: number, offsetBytes: number): number {
  view.setUint32(at, Math.floor(offsetBytes / 2 ** 32));
  view.setUint32(at + 4, offsetBytes % 2 ** 32);
  return at + 8;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
