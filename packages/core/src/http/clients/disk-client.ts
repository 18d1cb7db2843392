/**
 * Room: http, clients. Another node's disks: recipes and blocks, with every answer bounded.
 *
 * I1: a recipe is handed on only when it is the one that digest and keysRoot promise. Blocks are
 *     handed on unverified: whoever writes them checks their segments (DESIGN, decision 1).
 * I2: whatever the server sends, no more than a bounded number of bytes is read or allocated: wire
 *     bytes by what zstd could make of the bytes asked for, plain bytes by the bytes asked for.
 * I3: an answer that came whole and is wrong is `corrupt`; a server that dies, cuts the connection or
 *     could not read its disk is `unavailable`; silence or a trickle is `timeout`.
 * I4: wire bytes are body bytes as received, counted also when the call fails in the end.
 */

import { Agent, type Dispatcher, request } from 'undici';
import type { Digest, MerkleRoot } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import type { Id } from '../../domain/names.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { BLOCK_BYTES } from '../../domain/units.ts';
import { type BlockRuns, checkRuns, encodeBlockRequest } from '../../formats/block-request.ts';
import { type BlockStreamStatus, createBlockStreamDecoder } from '../../formats/block-stream.ts';
import { decodeRecipe, verifyRecipe } from '../../formats/recipe.ts';
import type { NodeKey } from '../auth/keys.ts';
import { signProof } from '../auth/proof.ts';
import {
  BLOCK_REQUEST_MEDIA_TYPE,
  BLOCK_STREAM_MEDIA_TYPE,
  GRANT_HEADER,
  PROOF_HEADER,
  RECIPE_MEDIA_TYPE,
} from '../contracts/disks.ts';
import { compressedBytesMax, decompressBody } from '../disk-zstd.ts';
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

export interface RecipeRequest extends DiskRequest {
  readonly keysRoot: Digest | MerkleRoot;
  /** Length of the recipe file where the signed description tells it: a longer answer is cut at once. */
  readonly recipeBytes?: number | undefined;
}

export interface BlocksRequest extends DiskRequest {
  readonly virtualSizeBytes: number;
  readonly runs: BlockRuns;
  /**
   * Called with whole blocks in the order of `runs`. The next call waits for the returned promise, and
   * so, in the end, does the server. `bytes` stays as it is until that promise settles.
   */
  readonly onBlocks: (
    startBlock: number,
    blockCount: number,
    bytes: Uint8Array,
  ) => void | Promise<void>;
}

export interface DiskClient extends AsyncDisposable {
  /** Throws the server's own error, `corrupt`, `too_large`, `unavailable`, `timeout`, `cancelled`. */
  readRecipe(
    wanted: RecipeRequest,
  ): Promise<{ recipe: Recipe; recipeBytes: Uint8Array; wireBytes: number }>;
  /** Throws like `readRecipe`, and `withdrawn` when the source was withdrawn on the way. */
  readBlocks(wanted: BlocksRequest): Promise<{ wireBytes: number }>;
}

/** A client that speaks as `nodeId`. Keeps its connections until it is disposed. */
export function createDiskClient(options: {
  readonly key: NodeKey;
  readonly nodeId: Id;
  readonly dispatcher?: Dispatcher;
  readonly limits?: Partial<DiskClientLimits>;
}): DiskClient {
  const limits = { ...DISK_CLIENT_LIMITS, ...options.limits };
  const own =
    options.dispatcher === undefined
      ? new Agent({ connections: limits.connectionsMax, connect: { timeout: 10_000 } })
      : undefined;
  const session: Session = {
    key: options.key,
    nodeId: options.nodeId,
    dispatcher: options.dispatcher ?? own!,
    limits,
  };
  return {
    readRecipe: (wanted) => readRecipe(session, wanted),
    readBlocks: (wanted) => readBlocks(session, wanted),
    async [Symbol.asyncDispose]() {
      await own?.destroy();
    },
  };
}

interface Session {
  readonly key: NodeKey;
  readonly nodeId: Id;
  readonly dispatcher: Dispatcher;
  readonly limits: DiskClientLimits;
}

async function readRecipe(
  session: Session,
  wanted: RecipeRequest,
): Promise<{ recipe: Recipe; recipeBytes: Uint8Array; wireBytes: number }> {
  const bytesMax = wanted.recipeBytes ?? MAX_RECIPE_BYTES;
  const answer = await send(session, wanted, 'GET', 'recipe', {
    accept: RECIPE_MEDIA_TYPE,
    'accept-encoding': 'zstd',
  });
  return await settled(answer, wanted, async () => {
    const wire = countWire(answer, session.limits, wanted, compressedBytesMax(bytesMax));
    const coding = answer.headers['content-encoding'];
    if (coding !== undefined && coding !== 'zstd') throw corrupt('an unknown content coding');
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of coding === 'zstd' ? decompressBody(wire.pieces) : wire.pieces) {
      length += piece.length;
      if (length > bytesMax) throw corrupt('a recipe longer than promised');
      pieces.push(piece);
    }
    const recipeBytes = Buffer.concat(pieces);
    const recipe = decodeRecipe(recipeBytes);
    verifyRecipe(recipe, { digest: wanted.digest, keysRoot: wanted.keysRoot as MerkleRoot });
    return { recipe, recipeBytes, wireBytes: wire.bytes() };
  });
}

async function readBlocks(session: Session, wanted: BlocksRequest): Promise<{ wireBytes: number }> {
  const { runs, virtualSizeBytes } = wanted;
  const blocks = checkRuns(runs, virtualSizeBytes);
  const body = encodeBlockRequest(runs, virtualSizeBytes);
  const headers = {
    accept: BLOCK_STREAM_MEDIA_TYPE,
    'content-type': BLOCK_REQUEST_MEDIA_TYPE,
  };
  const answer = await send(session, wanted, 'POST', 'blocks', headers, body);
  return await settled(answer, wanted, async () => {
    // Each run costs at most its 8-byte header once for each batch it is cut into.
    const plainBytesMax = blocks * (BLOCK_BYTES + 8) + 1024;
    const wire = countWire(answer, session.limits, wanted, compressedBytesMax(plainBytesMax));
    requireComplete(await decodeBlocks(wire.pieces, wanted));
    return { wireBytes: wire.bytes() };
  });
}

/** Wraps what `onBlocks` threw: a full disk here says nothing about the server. */
class ReceiverFailed {
  readonly thrown: unknown;
  constructor(thrown: unknown) {
    this.thrown = thrown instanceof ReceiverFailed ? thrown.thrown : thrown;
  }
}

/** Decodes the stream and hands on its blocks, one chunk at a time. */
async function decodeBlocks(
  wire: AsyncIterable<Uint8Array>,
  wanted: BlocksRequest,
): Promise<BlockStreamStatus> {
  let chunk = new Uint8Array();
  let pending: Promise<void> = Promise.resolve();
  const decoder = createBlockStreamDecoder({
    virtualSizeBytes: wanted.virtualSizeBytes,
    runs: wanted.runs,
    onBlocks: (startBlock, count, bytes) => {
      // A block that straddled two chunks lies in the decoder's own memory, which is used again.
      const stable = bytes.buffer === chunk.buffer ? bytes : bytes.slice();
      pending = pending
        .then(() => wanted.onBlocks(startBlock, count, stable))
        .catch((cause: unknown) => Promise.reject(new ReceiverFailed(cause)));
    },
  });
  for await (const piece of decompressBody(wire)) {
    chunk = piece as Uint8Array<ArrayBuffer>;
    try {
      decoder.push(chunk);
    } finally {
      await pending;
    }
  }
  return decoder.end();
}

function requireComplete(status: BlockStreamStatus): void {
  if (status === 'complete') return;
  if (status === 'withdrawn') {
    throw new VmdnError('withdrawn', 'The source was withdrawn while it was read.');
  }
  throw new VmdnError('unavailable', 'The source could not read its disk; ask again or elsewhere.');
}

async function send(
  session: Session,
  wanted: DiskRequest,
  method: 'GET' | 'POST',
  what: 'recipe' | 'blocks',
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
async function settled<Value>(
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
function countWire(
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

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `The server's answer is wrong (${what}); ask another source.`, {
    data: { what },
  });
}
