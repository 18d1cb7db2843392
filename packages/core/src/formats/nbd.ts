/**
 * Room: formats. The messages of the NBD protocol, fixed newstyle
 * (github.com/NetworkBlockDevice/nbd, doc/proto.md). Numbers are big-endian. Both sides share the constants;
 * the functions here are those of a client: it writes requests and reads replies. A server's are in
 * nbd-served.ts.
 *
 * I1: parsing is total: any bytes give a value or throw `corrupt`. Nobody here waits or reads.
 */

import { VmdnError } from '../domain/errors.ts';

export const NBD_MAGIC = 0x4e42444d41474943n; // "NBDMAGIC"
export const NBD_OPTION_MAGIC = 0x49484156454f5054n; // "IHAVEOPT"
export const NBD_OPTION_REPLY_MAGIC = 0x3e889045565a9n;
export const NBD_REQUEST_MAGIC = 0x25609513;
export const NBD_SIMPLE_REPLY_MAGIC = 0x67446698;
export const NBD_CHUNK_MAGIC = 0x668e33ef;

export const NBD_GREETING_BYTES = 18;
export const NBD_OPTION_REPLY_BYTES = 20;
export const NBD_REQUEST_BYTES = 28;
/** A simple reply's header; a structured chunk's is 4 bytes (its length) longer. */
export const NBD_SIMPLE_REPLY_BYTES = 16;
export const NBD_CHUNK_LENGTH_BYTES = 4;

export const HANDSHAKE_FIXED_NEWSTYLE = 1;
export const HANDSHAKE_NO_ZEROES = 2;

export const OPT_EXPORT_NAME = 1;
export const OPT_ABORT = 2;
export const OPT_LIST = 3;
export const OPT_STARTTLS = 5;
export const OPT_INFO = 6;
export const OPT_GO = 7;
export const OPT_STRUCTURED_REPLY = 8;
export const OPT_LIST_META_CONTEXT = 9;
export const OPT_SET_META_CONTEXT = 10;

export const REP_ACK = 1;
export const REP_SERVER = 2;
export const REP_INFO = 3;
export const REP_META_CONTEXT = 4;
/** Set in the type of every option reply that is an error. */
export const REP_ERROR_BIT = 0x8000_0000;
export const REP_ERR_UNSUP = 0x8000_0001;
export const REP_ERR_INVALID = 0x8000_0003;
export const REP_ERR_TLS_REQD = 0x8000_0005;
export const REP_ERR_UNKNOWN = 0x8000_0006;
export const REP_ERR_TOO_BIG = 0x8000_0009;

export const INFO_EXPORT = 0;
export const INFO_NAME = 1;
export const INFO_BLOCK_SIZE = 3;

export const FLAG_HAS_FLAGS = 1 << 0;
export const FLAG_READ_ONLY = 1 << 1;
export const FLAG_SEND_FLUSH = 1 << 2;
export const FLAG_SEND_DF = 1 << 7;
export const FLAG_CAN_MULTI_CONN = 1 << 8;
export const FLAG_SEND_CACHE = 1 << 10;

export const CMD_READ = 0;
export const CMD_WRITE = 1;
export const CMD_DISC = 2;
export const CMD_FLUSH = 3;
export const CMD_TRIM = 4;
export const CMD_CACHE = 5;
export const CMD_WRITE_ZEROES = 6;
export const CMD_BLOCK_STATUS = 7;
/** One chunk of data per read: QEMU then skips its own block status for each read. */
export const CMD_FLAG_DF = 1 << 2;
/** Block status of one extent only. */
export const CMD_FLAG_REQ_ONE = 1 << 3;

export const CHUNK_FLAG_DONE = 1;
export const CHUNK_NONE = 0;
export const CHUNK_OFFSET_DATA = 1;
export const CHUNK_OFFSET_HOLE = 2;
export const CHUNK_BLOCK_STATUS = 5;
export const CHUNK_ERROR = 0x8001;
/** Set in the type of every chunk that is an error. */
export const CHUNK_ERROR_BIT = 1 << 15;

/** Context of block status: allocation, and the bits of its extents. */
export const CONTEXT_ALLOCATION = 'base:allocation';
export const EXTENT_HOLE = 1;
export const EXTENT_ZERO = 2;
/** QEMU's context of depth: an extent's flags are the number of its layer, the top one's 1; 0: in none. */
export const CONTEXT_DEPTH = 'qemu:allocation-depth';
export const DEPTH_TOP = 1;

export const ERROR_EPERM = 1;
export const ERROR_EIO = 5;
export const ERROR_EINVAL = 22;

/** Errors that a server may report, by number. */
const ERROR_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  5: 'EIO',
  12: 'ENOMEM',
  22: 'EINVAL',
  28: 'ENOSPC',
  75: 'EOVERFLOW',
  95: 'ENOTSUP',
  108: 'ESHUTDOWN',
};

/** The name of an NBD error number. */
export function nbdErrorName(number: number): string {
  return ERROR_NAMES[number] ?? `error ${number}`;
}

/** The server's greeting. Returns its handshake flags. */
export function parseGreeting(bytes: Uint8Array): number {
  const view = viewOf(bytes, NBD_GREETING_BYTES);
  if (view.getBigUint64(0) !== NBD_MAGIC) throw lying('no NBD server');
  if (view.getBigUint64(8) !== NBD_OPTION_MAGIC) throw lying('an old-style NBD server');
  const flags = view.getUint16(16);
  if ((flags & HANDSHAKE_FIXED_NEWSTYLE) === 0) throw lying('not fixed newstyle');
  return flags;
}

/** The client's answer to the greeting. */
export function encodeClientFlags(flags: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, flags);
  return bytes;
}

/** An option request. */
export function encodeOption(option: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(16 + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, NBD_OPTION_MAGIC);
  view.setUint32(8, option);
  view.setUint32(12, data.length);
  bytes.set(data, 16);
  return bytes;
}

/** Data of NBD_OPT_GO: the export's name and which information is wanted. */
export function encodeGo(exportName: string, infos: readonly number[]): Uint8Array {
  const name = new TextEncoder().encode(exportName);
  const bytes = new Uint8Array(4 + name.length + 2 + infos.length * 2);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, name.length);
  bytes.set(name, 4);
  view.setUint16(4 + name.length, infos.length);
  infos.forEach((info, i) => {
    view.setUint16(6 + name.length + i * 2, info);
  });
  return bytes;
}

/** Data of NBD_OPT_SET_META_CONTEXT with one query. */
export function encodeMetaContext(exportName: string, query: string): Uint8Array {
  const name = new TextEncoder().encode(exportName);
  const text = new TextEncoder().encode(query);
  const bytes = new Uint8Array(12 + name.length + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, name.length);
  bytes.set(name, 4);
  view.setUint32(4 + name.length, 1);
  view.setUint32(8 + name.length, text.length);
  bytes.set(text, 12 + name.length);
  return bytes;
}

export interface OptionReplyHeader {
  readonly option: number;
  readonly type: number;
  readonly lengthBytes: number;
}

/** The fixed part of an option reply. */
export function parseOptionReply(bytes: Uint8Array): OptionReplyHeader {
  const view = viewOf(bytes, NBD_OPTION_REPLY_BYTES);
  if (view.getBigUint64(0) !== NBD_OPTION_REPLY_MAGIC) throw lying('option reply magic');
  return { option: view.getUint32(8), type: view.getUint32(12), lengthBytes: view.getUint32(16) };
}

/** What NBD_REP_INFO says of an export; other kinds of information are null. */
export type ExportInfo =
  | { readonly kind: 'export'; readonly sizeBytes: bigint; readonly flags: number }
  | { readonly kind: 'block-size'; readonly minBytes: number; readonly maxBytes: number }
  | null;

/** The data of an NBD_REP_INFO. */
export function parseInfo(bytes: Uint8Array): ExportInfo {
  const view = viewOf(bytes, 2);
  const kind = view.getUint16(0);
  if (kind === INFO_EXPORT) {
    if (bytes.length !== 12) throw lying('length of NBD_INFO_EXPORT');
    return { kind: 'export', sizeBytes: view.getBigUint64(2), flags: view.getUint16(10) };
  }
  if (kind === INFO_BLOCK_SIZE) {
    if (bytes.length !== 14) throw lying('length of NBD_INFO_BLOCK_SIZE');
    return { kind: 'block-size', minBytes: view.getUint32(2), maxBytes: view.getUint32(10) };
  }
  return null;
}

/** The data of an NBD_REP_META_CONTEXT. */
export function parseMetaContext(bytes: Uint8Array): { id: number; name: string } {
  const view = viewOf(bytes, 4);
  return { id: view.getUint32(0), name: new TextDecoder().decode(bytes.subarray(4)) };
}

/** Writes a request into 28 bytes. The cookie is two words: slot and generation. */
export function writeRequest(
  target: DataView,
  request: {
    readonly command: number;
    readonly flags: number;
    readonly generation: number;
    readonly slot: number;
    readonly offsetBytes: number;
    readonly lengthBytes: number;
  },
): void {
  target.setUint32(0, NBD_REQUEST_MAGIC);
  target.setUint16(4, request.flags);
  target.setUint16(6, request.command);
  target.setUint32(8, request.generation);
  target.setUint32(12, request.slot);
  target.setBigUint64(16, BigInt(request.offsetBytes));
  target.setUint32(24, request.lengthBytes);
}

/** Extents of a block status chunk, after its context id: [length, flags] pairs, lengths not zero. */
export function parseExtents(payload: Uint8Array, contextId: number): Uint32Array {
  const view = viewOf(payload, 12);
  if ((payload.length - 4) % 8 !== 0) throw lying('length of a block status');
  if (view.getUint32(0) !== contextId) throw lying('a block status of another context');
  const extents = new Uint32Array((payload.length - 4) / 4);
  for (let i = 0; i < extents.length; i += 1) extents[i] = view.getUint32(4 + i * 4);
  for (let i = 0; i < extents.length; i += 2) if (extents[i] === 0) throw lying('an empty extent');
  return extents;
}

/** The error number and words of an error chunk. */
export function parseErrorChunk(payload: Uint8Array): { number: number; message: string } {
  const view = viewOf(payload, 6);
  const length = view.getUint16(4);
  if (payload.length < 6 + length) throw lying('length of an error');
  const message = new TextDecoder().decode(payload.subarray(6, 6 + Math.min(length, 500)));
  return { number: view.getUint32(0), message };
}

/** The error for a server that breaks the protocol. */
export function lying(what: string): VmdnError {
  return new VmdnError('corrupt', `The NBD server broke the protocol (${what}).`, {
    data: { what },
  });
}

function viewOf(bytes: Uint8Array, minBytes: number): DataView {
  if (bytes.length < minBytes) throw lying('a short message');
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
