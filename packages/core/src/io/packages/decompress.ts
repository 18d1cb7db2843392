/**
 * Room: io, packages. Decompression of streams: gzip and zstd by Node's zlib, xz and lzma by liblzma
 * (lzma-decoder.ts), all in this thread; bzip2, of old packages, by its own tool.
 *
 * I1: what comes out counts against a budget that all streams of a package share; over it is `too_large`.
 * I2: memory is bounded: windows and dictionaries have limits, nothing is gathered.
 * I3: input that is no whole stream of its kind is `corrupt`; several streams in a row are one.
 */

import {
  createGunzip,
  createZstdDecompress,
  type Gunzip,
  constants as zlibConstants,
} from 'node:zlib';
import { VmdnError } from '../../domain/errors.ts';
import {
  PACKAGE_RATIO_MAX,
  PACKAGE_UNPACK_MS_MAX,
  PACKAGE_UNPACKED_BYTES_MAX,
  ZSTD_WINDOW_LOG_MAX,
} from '../../domain/limits.ts';
import { corruptPackage, tooLargePackage } from '../../formats/archive.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { decodeLzma } from './lzma-decoder.ts';

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'lzma' | 'bzip2';

/** Output of zlib in one piece. */
const ZLIB_CHUNK_BYTES = 128 * 1024;

/** How much one package may unpack to. */
export class UnpackBudget {
  readonly limitBytes: number;
  #usedBytes = 0;

  constructor(packageBytes: number) {
    this.limitBytes = Math.min(PACKAGE_UNPACKED_BYTES_MAX, packageBytes * PACKAGE_RATIO_MAX);
  }

  /** Counts bytes. Throws `too_large`. */
  use(bytes: number): void {
    this.#usedBytes += bytes;
    if (this.#usedBytes <= this.limitBytes) return;
    throw tooLargePackage('it unpacks to more bytes than it may', this.limitBytes);
  }
}

interface DecompressDeps {
  readonly runner: CommandRunner;
  readonly budget: UnpackBudget;
  readonly signal: AbortSignal;
}

/** What `input` unpacks to. Throws what it throws, `corrupt`, `too_large`, `tool_missing`, `timeout`. */
export async function* decompress(
  compression: Compression,
  input: AsyncIterable<Uint8Array>,
  deps: DecompressDeps,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of engine(compression, input, deps)) {
      deps.budget.use(chunk.length);
      yield chunk;
    }
  } catch (error) {
    throw translate(error, compression);
  }
}

function engine(
  compression: Compression,
  input: AsyncIterable<Uint8Array>,
  { runner, signal }: DecompressDeps,
): AsyncIterable<Uint8Array> {
  if (compression === 'xz' || compression === 'lzma') return decodeLzma(compression, input);
  if (compression === 'bzip2') {
    const limits = {
      timeoutMs: PACKAGE_UNPACK_MS_MAX,
      maxOutputBytes: PACKAGE_UNPACKED_BYTES_MAX,
      signal,
    };
    return runner.filter('bzip2', ['-d', '-c'], input, limits);
  }
  if (compression === 'none') return input;
  const chunkSize = ZLIB_CHUNK_BYTES;
  if (compression === 'gzip') return throughZlib(() => createGunzip({ chunkSize }), input, false);
  const params = { [zlibConstants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX };
  return throughZlib(() => createZstdDecompress({ chunkSize, params }), input, true);
}

/** The part of zlib's streams that is used: those of zstd lack `flush` and the like in Node's types. */
type ZlibStream = Pick<
  Gunzip,
  'write' | 'end' | 'destroy' | 'destroyed' | 'bytesWritten' | 'once' | 'on'
> &
  AsyncIterable<Uint8Array>;

/**
 * Runs input through zlib. Node ends its zstd streams where a frame ends and bytes follow in the same chunk
 * (24.21, the bytes are lost): `bytesWritten` tells which were read, and the rest goes to a new stream. Of
 * gzip, members follow one another in one stream, and whatever follows a zero byte after one is padding.
 */
async function* throughZlib(
  create: () => ZlibStream,
  input: AsyncIterable<Uint8Array>,
  canRestart: boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = input[Symbol.asyncIterator]();
  let rest: Uint8Array | undefined;
  do {
    const stream = create();
    const closed = new Promise<undefined>((resolve) => {
      stream.once('close', () => resolve(undefined));
    });
    const feeding: Promise<Uint8Array | undefined> = feed(stream, rest, chunks, closed);
    feeding.catch((error: Error) => stream.destroy(error));
    try {
      yield* stream;
      rest = await feeding;
    } finally {
      stream.destroy();
    }
  } while (canRestart && rest !== undefined);
}

/** Writes `first` and all chunks. Returns what the stream, which has ended, did not read. */
async function feed(
  stream: ZlibStream,
  first: Uint8Array | undefined,
  chunks: AsyncIterator<Uint8Array>,
  closed: Promise<undefined>,
): Promise<Uint8Array | undefined> {
  let chunk = first;
  for (;;) {
    if (chunk === undefined) {
      const next = await chunks.next();
      if (stream.destroyed) return undefined;
      if (next.done === true) break;
      chunk = next.value;
    }
    const before = stream.bytesWritten;
    const written = Promise.withResolvers<void>();
    stream.write(chunk, () => written.resolve());
    await Promise.race([written.promise, closed]);
    if (stream.destroyed) return undefined;
    const read = stream.bytesWritten - before;
    if (read < chunk.length) return chunk.subarray(read);
    chunk = undefined;
  }
  stream.end();
  return undefined;
}

/** The error for what a decompressor says. */
function translate(error: unknown, compression: Compression): unknown {
  if (error instanceof VmdnError) {
    const { exitCode, stderr } = error.data;
    // An exit code is the tool's judgement of its input; a signal would be the machine's.
    if (error.code !== 'tool_failed' || typeof exitCode !== 'number') return error;
    return corruptPackage(`its ${compression} stream is broken: ${String(stderr)}`);
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ZSTD_error_frameParameter_windowTooLarge') {
    return tooLargePackage('its zstd window is too large', 2 ** ZSTD_WINDOW_LOG_MAX);
  }
  if (/^(Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB)/.test(code)) {
    return corruptPackage(`its ${compression} stream is broken: ${code}`);
  }
  return error;
}
