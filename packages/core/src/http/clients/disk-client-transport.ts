/**
 * Room: http, clients. How the disk client talks to a server: requests with proofs, bodies that are counted,
 * bounded and watched, and failures in the product's words.
 *
 * I1: a body longer than the caller allows, or slower than the limits allow, is given up at once.
 * I2: whatever happens while a body is read, its connection is free for others or gone afterwards.
 */

import { type Dispatcher, request } from 'undici';
import type { Digest } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import type { NodeKey } from '../auth/keys.ts';
import { signProof } from '../auth/proof.ts';
import { GRANT_HEADER, PROOF_HEADER } from '../contracts/disks.ts';
import { errorFromReply } from '../error-response.ts';
import { translate } from './coordinator-client.ts';

export interface DiskClientLimits {
  /** Until the header of an answer: the server reads its first batch before it sends one. */
  readonly headersTimeoutMs: number;
  /** Between two pieces of a body. */
  readonly silenceMs: number;
  /** In so much time spent waiting for the server at least `trickleBytes` must come. */
  readonly trickleMs: number;
  readonly trickleBytes: number;
  /** Connections to one server. */
  readonly connectionsMax: number;
}

export const DISK_CLIENT_LIMITS: DiskClientLimits = {
  headersTimeoutMs: 60_000,
  silenceMs: 30_000,
  // 64 KiB in 30 s: a modem from 1995; a server that sends a byte now and then holds nobody for long.
  trickleMs: 30_000,
  trickleBytes: 64 * 1024,
  connectionsMax: 16,
};

/** Error bodies are a few hundred bytes. */
const ERROR_BYTES_MAX = 64 * 1024;

/** Which disk, at which node, by whose leave. */
export interface DiskRequest {
  /** Base URL of the node that serves it. */
  readonly url: string;
  /** That node's id: the audience of the proof. */
  readonly holder: Id;
  readonly digest: Digest;
  readonly grant: string;
  readonly signal?: AbortSignal | undefined;
  /** Told of body bytes as they arrive. */
  readonly onWireBytes?: ((bytes: number) => void) | undefined;
}

export interface Session {
  readonly key: NodeKey;
  readonly nodeId: Id;
  readonly dispatcher: Dispatcher;
  readonly limits: DiskClientLimits;
}

/** Wraps what `onBlocks` threw: a full disk here says nothing about the server. */
export class ReceiverFailed {
  readonly thrown: unknown;
  constructor(thrown: unknown) {
    this.thrown = thrown instanceof ReceiverFailed ? thrown.thrown : thrown;
  }
}

/** Sends a request; resolves when the header of a good answer is here. Throws the server's own error. */
export async function send(
  session: Session,
  wanted: DiskRequest,
  method: 'GET' | 'POST',
  what: 'recipe' | 'recipe-outline' | 'recipe-rows' | 'segments' | 'blocks' | 'blocks-size',
  headers: Record<string, string>,
  body?: Uint8Array,
): Promise<Dispatcher.ResponseData> {
  const url = new URL(`${wanted.url.replace(/\/+$/, '')}/v1/disks/${wanted.digest}/${what}`);
  const proof = await signProof(session.key, {
    keyId: session.nodeId,
    audience: wanted.holder,
    method,
    path: url.pathname,
    body,
    grant: wanted.grant,
  });
  let answer: Dispatcher.ResponseData;
  try {
    answer = await request(url, {
      method,
      headers: { ...headers, [GRANT_HEADER]: wanted.grant, [PROOF_HEADER]: proof },
      body: body ?? null,
      dispatcher: session.dispatcher,
      headersTimeout: session.limits.headersTimeoutMs,
      bodyTimeout: session.limits.silenceMs,
      signal: wanted.signal ?? null,
    });
  } catch (cause) {
    throw translate(cause, url.origin, wanted.signal);
  }
  // Destroying a body makes it emit an error, which is nobody's business any more.
  answer.body.on('error', () => undefined);
  if (answer.statusCode === 200) return answer;
  throw errorFromReply(answer.statusCode, await readErrorBody(answer));
}

/** Runs `read`; whatever happens, the connection is free for others or gone afterwards. */
export async function settled<Value>(
  answer: Dispatcher.ResponseData,
  wanted: DiskRequest,
  read: () => Promise<Value>,
): Promise<Value> {
  try {
    return await read();
  } catch (error) {
    answer.body.destroy();
    throw inOurWords(error, wanted);
  }
}

function inOurWords(error: unknown, wanted: DiskRequest): unknown {
  if (error instanceof ReceiverFailed) return error.thrown;
  if (wanted.signal?.aborted) return translate(error, wanted.url, wanted.signal);
  if (error instanceof VmdnError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return error;
  // node:zlib speaks of bytes that are not zstd, or end too early; undici and node:net of the network.
  if (code.startsWith('ZSTD_') || code.startsWith('Z_') || code.startsWith('ERR_ZLIB')) {
    return new VmdnError('corrupt', 'The body is not a whole zstd frame; ask another source.', {
      data: { code },
      cause: error,
    });
  }
  return translate(error, new URL(wanted.url).origin, wanted.signal);
}

/** The body's pieces, counted, bounded, and refused when they come too slowly. */
export function countWire(
  answer: Dispatcher.ResponseData,
  limits: DiskClientLimits,
  wanted: DiskRequest,
  bytesMax: number,
): { readonly pieces: AsyncIterable<Uint8Array>; bytes(): number } {
  let bytes = 0;
  const count = (piece: Uint8Array): void => {
    bytes += piece.length;
    wanted.onWireBytes?.(piece.length);
    if (bytes > bytesMax) throw corrupt('a body longer than any right answer');
  };
  return { pieces: watched(answer.body, limits, count), bytes: () => bytes };
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  limits: DiskClientLimits,
  count: (piece: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  let [waitedMs, received] = [0, 0];
  let askedAt = performance.now();
  for await (const piece of body) {
    // Only time spent waiting for the server counts: our own writing may be slow as well.
    waitedMs += performance.now() - askedAt;
    received += piece.length;
    count(piece);
    if (waitedMs >= limits.trickleMs) {
      if (received < limits.trickleBytes) {
        throw new VmdnError('timeout', 'The server sends too slowly to be of use.', {
          data: { received, waitedMs: Math.round(waitedMs) },
        });
      }
      [waitedMs, received] = [0, 0];
    }
    yield piece;
    askedAt = performance.now();
  }
}

async function readErrorBody(answer: Dispatcher.ResponseData): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const piece of answer.body) {
      length += piece.length;
      if (length > ERROR_BYTES_MAX) break;
      pieces.push(piece);
    }
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    // The status alone must do.
    return undefined;
  } finally {
    answer.body.destroy();
  }
}

export function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `The server's answer is wrong (${what}); ask another source.`, {
    data: { what },
  });
}
