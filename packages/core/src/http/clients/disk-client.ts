/**
 * Room: http, clients. Another node's disks: recipes and blocks, with every answer bounded.
 *
 * I1: a recipe is handed on only when it is the one that digest and keysRoot promise. Blocks, outlines
 *     and rows are handed on unverified: whoever writes blocks checks their segments (DESIGN, decision 1),
 *     whoever puts a recipe together verifies it (io/ports/outline-resolver.ts).
 * I2: whatever the server sends, no more than a bounded number of bytes is read or allocated: wire
 *     bytes by what zstd could make of the bytes asked for, plain bytes by the bytes asked for.
 * I3: an answer that came whole and is wrong is `corrupt`; a server that dies, cuts the connection or
 *     could not read its disk is `unavailable`; silence or a trickle is `timeout`.
 * I4: wire bytes are body bytes as received, counted also when the call fails in the end.
 */

import { Agent, type Dispatcher } from 'undici';
import { bitmapBytes } from '../../domain/bitmap.ts';
import type { Digest, MerkleRoot } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import type { Id } from '../../domain/names.ts';
import type { Recipe } from '../../domain/recipe.ts';
import type { RowRuns } from '../../domain/recipe-outline.ts';
import { BLOCK_BYTES, segmentCount } from '../../domain/units.ts';
import { type BlockRuns, checkRuns, encodeBlockRequest } from '../../formats/block-request.ts';
import { type BlockStreamStatus, createBlockStreamDecoder } from '../../formats/block-stream.ts';
import { decodeRecipe, verifyRecipe } from '../../formats/recipe.ts';
import { encodeRowRequest } from '../../formats/recipe-rows.ts';
import type { NodeKey } from '../auth/keys.ts';
import {
  BLOCK_REQUEST_MEDIA_TYPE,
  BLOCK_STREAM_MEDIA_TYPE,
  measureBlocks as measureBlocksOperation,
  RECIPE_MEDIA_TYPE,
  RECIPE_OUTLINE_MEDIA_TYPE,
  RECIPE_ROWS_MEDIA_TYPE,
  ROW_REQUEST_MEDIA_TYPE,
  SEGMENTS_MEDIA_TYPE,
} from '../contracts/disks.ts';
import { compressedBytesMax, decompressBody } from '../disk-zstd.ts';
import {
  corrupt,
  countWire,
  DISK_CLIENT_LIMITS,
  type DiskClientLimits,
  type DiskRequest,
  ReceiverFailed,
  type Session,
  send,
  settled,
} from './disk-client-transport.ts';

export type { DiskClientLimits, DiskRequest };

export interface RecipeRequest extends DiskRequest {
  readonly keysRoot: Digest | MerkleRoot;
  /** Length of the recipe file where the signed description tells it: a longer answer is cut at once. */
  readonly recipeBytes?: number | undefined;
}

export type OutlineRequest = Omit<RecipeRequest, 'keysRoot'>;

export interface RowsRequest extends DiskRequest {
  readonly runs: RowRuns;
  /** Length of the right answer: it follows from the outline. */
  readonly rowsBytes: number;
}

/** A body that came whole. `bytes` lies in a buffer of its own. */
export interface WholeBody {
  readonly bytes: Uint8Array;
  readonly wireBytes: number;
}

export interface MeasureRequest extends DiskRequest {
  readonly virtualSizeBytes: number;
  readonly runs: BlockRuns;
}

export interface SegmentsRequest extends DiskRequest {
  readonly virtualSizeBytes: number;
}

export interface BlocksRequest extends MeasureRequest {
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
  /** The outline of a recipe as it was received: unverified. Throws like `readRecipe`. */
  readOutline(wanted: OutlineRequest): Promise<WholeBody>;
  /** Rows as they were received, of the right length: unverified. Throws like `readRecipe`. */
  readRows(wanted: RowsRequest): Promise<WholeBody>;
  /** Bitmap of the segments that the holder can serve now. Throws like `readRecipe`. */
  readSegments(wanted: SegmentsRequest): Promise<WholeBody>;
  /** Throws like `readRecipe`, and `withdrawn` when the source was withdrawn on the way. */
  readBlocks(wanted: BlocksRequest): Promise<{ wireBytes: number }>;
  /** How long the answer to `readBlocks` would be. Throws like `readRecipe`. */
  measureBlocks(wanted: MeasureRequest): Promise<{ wireBytes: number }>;
}

/** `{"wireBytes":…}`. */
const MEASURE_REPLY_BYTES_MAX = 1024;

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
    readOutline: (wanted) => readOutline(session, wanted),
    readRows: (wanted) => readRows(session, wanted),
    readSegments: (wanted) => readSegments(session, wanted),
    readBlocks: (wanted) => readBlocks(session, wanted),
    measureBlocks: (wanted) => measureBlocks(session, wanted),
    async [Symbol.asyncDispose]() {
      await own?.destroy();
    },
  };
}

async function readRecipe(
  session: Session,
  wanted: RecipeRequest,
): Promise<{ recipe: Recipe; recipeBytes: Uint8Array; wireBytes: number }> {
  const bytesMax = wanted.recipeBytes ?? MAX_RECIPE_BYTES;
  const answer = await send(session, wanted, 'GET', 'recipe', acceptZstd(RECIPE_MEDIA_TYPE));
  return await settled(answer, wanted, async () => {
    const isExact = wanted.recipeBytes !== undefined;
    const { bytes, wireBytes } = await readWhole(session, wanted, answer, bytesMax, isExact);
    const recipe = decodeRecipe(bytes);
    verifyRecipe(recipe, { digest: wanted.digest, keysRoot: wanted.keysRoot as MerkleRoot });
    return { recipe, recipeBytes: bytes, wireBytes };
  });
}

async function readOutline(session: Session, wanted: OutlineRequest): Promise<WholeBody> {
  // An outline is always shorter than its recipe.
  const bytesMax = wanted.recipeBytes ?? MAX_RECIPE_BYTES;
  const headers = acceptZstd(RECIPE_OUTLINE_MEDIA_TYPE);
  const answer = await send(session, wanted, 'GET', 'recipe-outline', headers);
  return await settled(answer, wanted, () => readWhole(session, wanted, answer, bytesMax));
}

async function readRows(session: Session, wanted: RowsRequest): Promise<WholeBody> {
  const body = encodeRowRequest(wanted.runs);
  const accept = acceptZstd(RECIPE_ROWS_MEDIA_TYPE);
  const headers = { ...accept, 'content-type': ROW_REQUEST_MEDIA_TYPE };
  const answer = await send(session, wanted, 'POST', 'recipe-rows', headers, body);
  return await settled(answer, wanted, async () => {
    const whole = await readWhole(session, wanted, answer, wanted.rowsBytes, true);
    if (whole.bytes.length < wanted.rowsBytes) throw corrupt('shorter than promised');
    return whole;
  });
}

async function readSegments(session: Session, wanted: SegmentsRequest): Promise<WholeBody> {
  const length = bitmapBytes(segmentCount(wanted.virtualSizeBytes));
  const answer = await send(session, wanted, 'GET', 'segments', acceptZstd(SEGMENTS_MEDIA_TYPE));
  return await settled(answer, wanted, async () => {
    const whole = await readWhole(session, wanted, answer, length);
    if (whole.bytes.length < length) throw corrupt('shorter than promised');
    return whole;
  });
}

function acceptZstd(mediaType: string): Record<string, string> {
  return { accept: mediaType, 'accept-encoding': 'zstd' };
}

/**
 * A body that is used when all of it is here: at most `bytesMax` bytes, in an array of its own. `isExact`:
 * the right answer has just so many, and is received where it stays.
 */
async function readWhole(
  session: Session,
  wanted: DiskRequest,
  answer: Dispatcher.ResponseData,
  bytesMax: number,
  isExact = false,
): Promise<WholeBody> {
  const wire = countWire(answer, session.limits, wanted, compressedBytesMax(bytesMax));
  const coding = answer.headers['content-encoding'];
  if (coding !== undefined && coding !== 'zstd') throw corrupt('an unknown content coding');
  // Memory is taken as it is filled: a promise of two gigabytes alone takes none.
  const buffer = isExact
    ? new ArrayBuffer(bytesMax)
    : new ArrayBuffer(0, { maxByteLength: bytesMax });
  let length = 0;
  for await (const piece of coding === 'zstd' ? decompressBody(wire.pieces) : wire.pieces) {
    if (length + piece.length > bytesMax) throw corrupt('longer than promised');
    if (buffer.resizable) buffer.resize(length + piece.length);
    new Uint8Array(buffer, length).set(piece);
    length += piece.length;
  }
  const isFull = !buffer.resizable && length === bytesMax;
  const whole = isFull ? buffer : buffer.transferToFixedLength(length);
  return { bytes: new Uint8Array(whole), wireBytes: wire.bytes() };
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

async function measureBlocks(
  session: Session,
  wanted: MeasureRequest,
): Promise<{ wireBytes: number }> {
  const body = encodeBlockRequest(wanted.runs, wanted.virtualSizeBytes);
  const headers = { 'content-type': BLOCK_REQUEST_MEDIA_TYPE };
  const answer = await send(session, wanted, 'POST', 'blocks-size', headers, body);
  return await settled(answer, wanted, async () => {
    const { bytes } = await readWhole(session, wanted, answer, MEASURE_REPLY_BYTES_MAX);
    const reply = measureBlocksOperation.reply.safeParse(parseJson(bytes));
    if (!reply.success) throw corrupt('no length');
    return reply.data;
  });
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
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
