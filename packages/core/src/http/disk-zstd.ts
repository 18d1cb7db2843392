/**
 * Room: http. The zstd coding of data-plane bodies (RFC 8878), both ways, with back-pressure.
 *
 * I1: the coder is fed one piece at a time and only when it has taken the last one; it takes the next
 *     one only when its output has been taken. So nothing piles up on either side.
 * I2: a source that fails makes the result fail with the same error; when the reader of the result
 *     stops, the coder is freed and the source is told to stop (its `return` has run) before the
 *     reader goes on.
 * I3: a frame whose window would need more than ZSTD_WINDOW_LOG_MAX is refused.
 * I4: what does not compress is not compressed: as long as every piece of a body is random, it is stored.
 *     From the first one that is not, all is compressed, in the same frame.
 * I5: what was stored passes no decoder on its way back: no thread is asked, nothing is copied.
 * I6: the clock of a body runs while its reader waits for the compressor and that has something to do, not
 *     while it waits for its source or for the reader.
 */

import type { Transform } from 'node:stream';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import type { BusyClock } from '../domain/busy-clock.ts';
import { VmdnError } from '../domain/errors.ts';
import {
  encodeStoredBlockHeader,
  encodeStoredFrameHeader,
  FRAME_HEADER_BYTES_MAX,
  frameHeaderBytes,
  isIncompressible,
  STORED_BLOCK_BYTES_MAX,
  StoredFrameReader,
} from '../formats/zstd-stored.ts';

/**
 * Window of what we send: 2^22 = 4 MiB; level 3's own is 2 MiB. A receiver refuses frames that want
 * more than 2^23, so that a hostile sender can't make it allocate gigabytes.
 */
const WINDOW_LOG = 22;
export const ZSTD_WINDOW_LOG_MAX = 23;

/** Size of the pieces that come out. */
const OUTPUT_BYTES = 128 * 1024;

/** The most that zstd makes of `bytes` (ZSTD_compressBound), and 64 KiB for frame and block headers. */
export function compressedBytesMax(bytes: number): number {
  return bytes + Math.ceil(bytes / 256) + 64 * 1024;
}

/** A piece so small says nothing of those that follow: the record before or behind them. */
const SMALL_BYTES = 64;

/**
 * Codes a body, at `level` where it compresses. Pieces must stay as they are; they may be handed on.
 * `clock` is told of the time that compressing takes.
 */
export async function* compressBody(
  source: AsyncIterable<Uint8Array>,
  level: number,
  clock?: BusyClock,
): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]();
  try {
    const undecided: Uint8Array[] = [];
    let isStoring = false;
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
      undecided.push(next.value);
      if (!isStoring && next.value.length <= SMALL_BYTES) continue;
      if (next.value.length > SMALL_BYTES && !isIncompressible(next.value)) {
        const rest = compress(resume(undecided, pieces), level, clock);
        yield* isStoring ? withoutFrameHeader(rest) : rest;
        return;
      }
      if (!isStoring) yield encodeStoredFrameHeader(WINDOW_LOG);
      isStoring = true;
      for (const piece of undecided.splice(0)) yield* stored(piece);
    }
    if (isStoring) yield encodeStoredBlockHeader(0, true);
    else yield* compress(resume(undecided, pieces), level, clock);
  } finally {
    await pieces.return?.();
  }
}

function* stored(piece: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < piece.length; at += STORED_BLOCK_BYTES_MAX) {
    const block = piece.subarray(at, at + STORED_BLOCK_BYTES_MAX);
    yield encodeStoredBlockHeader(block.length, false);
    yield block;
  }
}

/** What was taken from an iterator already, and the rest of it. */
async function* resume(
  taken: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* taken;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

/** The blocks of a frame, to be put behind those of another. */
async function* withoutFrameHeader(frame: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head = new Uint8Array();
  let isCut = false;
  for await (const piece of frame) {
    if (isCut) {
      yield piece;
      continue;
    }
    head = Buffer.concat([head, piece]);
    if (head.length < FRAME_HEADER_BYTES_MAX) continue;
    yield head.subarray(frameHeaderBytes(head));
    isCut = true;
  }
  if (!isCut) yield head.subarray(frameHeaderBytes(head));
}

function compress(
  source: AsyncIterable<Uint8Array>,
  level: number,
  clock: BusyClock | undefined,
): AsyncGenerator<Uint8Array> {
  const compressor = createZstdCompress({
    chunkSize: OUTPUT_BYTES,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_windowLog]: WINDOW_LOG,
    },
  });
  return pump(source, compressor, new CoderTime(clock));
}

/**
 * Decompresses a body. Pieces must stay as they are; what is stored is handed on as it came. The result
 * throws the decoder's error for bytes that are not zstd, or `corrupt`.
 */
export async function* decompressBody(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]();
  try {
    const reader = new StoredFrameReader(ZSTD_WINDOW_LOG_MAX);
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
      const stored: Uint8Array[] = [];
      const used = reader.push(next.value, (bytes) => stored.push(bytes));
      yield* stored;
      if (reader.replay === undefined) continue;
      const { head, repeatedBytes } = reader.replay;
      const rest = resume([...head, next.value.subarray(used)], pieces);
      yield* withoutFirst(decompress(rest), repeatedBytes);
      return;
    }
    reader.end();
  } finally {
    await pieces.return?.();
  }
}

async function* withoutFirst(
  pieces: AsyncIterable<Uint8Array>,
  bytes: number,
): AsyncGenerator<Uint8Array> {
  let left = bytes;
  for await (const piece of pieces) {
    if (left < piece.length) yield piece.subarray(left);
    left = Math.max(0, left - piece.length);
  }
}

function decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decompressor = createZstdDecompress({
    chunkSize: OUTPUT_BYTES,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
  });
  return pump(source, decompressor, new CoderTime(undefined));
}

/** Tells a clock when the coder works (I6). */
class CoderTime {
  /** It has a piece that it has not taken yet. */
  isFed = false;
  /** Somebody waits for what it makes. */
  isAwaited = false;
  readonly #clock: BusyClock | undefined;
  #isRunning = false;

  constructor(clock: BusyClock | undefined) {
    this.#clock = clock;
  }

  note(what: 'isFed' | 'isAwaited', value: boolean): void {
    this[what] = value;
    const isRunning = this.isFed && this.isAwaited;
    if (isRunning === this.#isRunning) return;
    this.#isRunning = isRunning;
    this.#clock?.[isRunning ? 'enter' : 'leave'](performance.now());
  }
}

async function* pump(
  source: AsyncIterable<Uint8Array>,
  coder: Transform,
  time: CoderTime,
): AsyncGenerator<Uint8Array> {
  const fed = feed(source, coder, time).catch((error: unknown) => {
    coder.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    time.note('isAwaited', true);
    for await (const piece of coder) {
      time.note('isAwaited', false);
      yield piece as Uint8Array;
      time.note('isAwaited', true);
    }
  } finally {
    time.note('isAwaited', false);
    coder.destroy();
    await fed;
  }
}

async function feed(
  source: AsyncIterable<Uint8Array>,
  coder: Transform,
  time: CoderTime,
): Promise<void> {
  for await (const piece of source) {
    time.note('isFed', true);
    await write(coder, piece);
    time.note('isFed', false);
  }
  coder.end();
}

/** Resolves when the coder has taken the bytes. Throws `cancelled` when it was freed. */
async function write(coder: Transform, bytes: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(new VmdnError('cancelled', 'Nobody reads on.'));
  if (coder.destroyed) onClose();
  coder.once('close', onClose);
  coder.write(bytes, (error) => (error ? reject(error) : resolve()));
  try {
    await promise;
  } finally {
    coder.off('close', onClose);
  }
}
