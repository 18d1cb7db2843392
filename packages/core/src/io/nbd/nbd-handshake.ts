/**
 * Room: io, nbd. The client's side of the handshake as a generator: it yields buffers to be filled from the
 * socket and calls `send`; it never waits by itself, so that tests can feed it any bytes.
 *
 * I1: every reply is checked: magic, the option it answers, its length, its bounds.
 * I2: structured replies and block status are used where the server has them and are not required.
 */

import { VmdnError } from '../../domain/errors.ts';
import {
  MAX_DISK_BYTES,
  NBD_MAX_CONTROL_BYTES,
  NBD_MAX_REQUEST_BYTES,
} from '../../domain/limits.ts';
import * as nbd from '../../formats/nbd.ts';

/** Filled buffers go in by being filled: what a generator yields, its driver fills to the last byte. */
export type Fill<Result> = Generator<Uint8Array, Result, void>;

/** What the two sides agreed on. */
export interface NbdAgreement {
  readonly sizeBytes: number;
  readonly flags: number;
  /** Largest read in bytes. */
  readonly maxReadBytes: number;
  readonly isStructured: boolean;
  /** Id of the context that was asked for; undefined when the server does not have it. */
  readonly statusContext: number | undefined;
}

/** How many replies one option may get; more is a server that never ends. */
const REPLIES_MAX = 64;

interface Reply {
  readonly type: number;
  readonly data: Uint8Array;
}

/**
 * Negotiates from the greeting to NBD_OPT_GO, with block status by `context`. Throws `corrupt`, `not_found`,
 * `too_large`.
 */
export function* handshake(
  exportName: string,
  context: string,
  send: (bytes: Uint8Array) => void,
): Fill<NbdAgreement> {
  const greeting = new Uint8Array(nbd.NBD_GREETING_BYTES);
  yield greeting;
  const flags = nbd.parseGreeting(greeting);
  const common = nbd.HANDSHAKE_FIXED_NEWSTYLE | nbd.HANDSHAKE_NO_ZEROES;
  send(nbd.encodeClientFlags(flags & common));

  send(nbd.encodeOption(nbd.OPT_STRUCTURED_REPLY));
  const structured = yield* readReply(nbd.OPT_STRUCTURED_REPLY);
  const isStructured = structured.type === nbd.REP_ACK;

  let statusContext: number | undefined;
  if (isStructured) {
    const data = nbd.encodeMetaContext(exportName, context);
    send(nbd.encodeOption(nbd.OPT_SET_META_CONTEXT, data));
    statusContext = yield* readContext(context);
  }
  send(nbd.encodeOption(nbd.OPT_GO, nbd.encodeGo(exportName, [nbd.INFO_BLOCK_SIZE])));
  const found = yield* readGo(exportName);
  return { ...found, isStructured, statusContext };
}

function* readContext(wanted: string): Fill<number | undefined> {
  let context: number | undefined;
  for (let i = 0; i < REPLIES_MAX; i += 1) {
    const { type, data } = yield* readReply(nbd.OPT_SET_META_CONTEXT);
    if (type === nbd.REP_ACK) return context;
    if (type >= nbd.REP_ERROR_BIT) return undefined;
    if (type !== nbd.REP_META_CONTEXT) throw nbd.lying('an unexpected option reply');
    const { id, name } = nbd.parseMetaContext(data);
    if (name === wanted) context = id;
  }
  throw nbd.lying('too many replies');
}

function* readGo(
  exportName: string,
): Fill<Pick<NbdAgreement, 'sizeBytes' | 'flags' | 'maxReadBytes'>> {
  let size: { sizeBytes: number; flags: number } | undefined;
  let maxReadBytes = NBD_MAX_REQUEST_BYTES;
  for (let i = 0; i < REPLIES_MAX; i += 1) {
    const { type, data } = yield* readReply(nbd.OPT_GO);
    if (type === nbd.REP_ACK) {
      if (size === undefined) throw nbd.lying('no export size');
      return { ...size, maxReadBytes };
    }
    if (type >= nbd.REP_ERROR_BIT) throw refused(type, data, exportName);
    if (type !== nbd.REP_INFO) throw nbd.lying('an unexpected option reply');
    const info = nbd.parseInfo(data);
    if (info?.kind === 'export') size = parseSize(info.sizeBytes, info.flags);
    if (info?.kind === 'block-size') {
      if (info.maxBytes < 512) throw nbd.lying('a senseless block size');
      maxReadBytes = Math.min(maxReadBytes, info.maxBytes);
    }
  }
  throw nbd.lying('too many replies');
}

function* readReply(option: number): Fill<Reply> {
  const header = new Uint8Array(nbd.NBD_OPTION_REPLY_BYTES);
  yield header;
  const reply = nbd.parseOptionReply(header);
  if (reply.option !== option) throw nbd.lying('the reply to another option');
  if (reply.lengthBytes > NBD_MAX_CONTROL_BYTES) throw nbd.lying('an oversized option reply');
  const data = new Uint8Array(reply.lengthBytes);
  yield data;
  return { type: reply.type, data };
}

function parseSize(raw: bigint, flags: number): { sizeBytes: number; flags: number } {
  if (raw > BigInt(MAX_DISK_BYTES)) {
    throw new VmdnError('too_large', 'A disk larger than 8 TiB is not supported.', {
      data: { sizeBytes: raw.toString() },
    });
  }
  if ((flags & nbd.FLAG_HAS_FLAGS) === 0) throw nbd.lying('no transmission flags');
  return { sizeBytes: Number(raw), flags };
}

function refused(type: number, data: Uint8Array, exportName: string): VmdnError {
  const reason = new TextDecoder().decode(data.subarray(0, 500));
  const code = type === nbd.REP_ERR_UNKNOWN ? 'not_found' : 'unavailable';
  return new VmdnError(code, `The NBD server does not give export "${exportName}": ${reason}`, {
    data: { type, exportName },
  });
}
