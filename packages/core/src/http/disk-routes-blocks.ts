/**
 * Room: http. The block stream of one request: batches in, one zstd frame out.
 *
 * I1: a source that fails before the first byte is an error reply; one that fails later ends the
 *     stream with the status record that says so, never with silence.
 */

import { describeError, isVmdnError } from '../domain/errors.ts';
import type { BlockRuns } from '../formats/block-request.ts';
import { encodeBlockStreamEnd, encodeBlockStreamHeader } from '../formats/block-stream.ts';
import type { ServedDisk } from '../io/ports/disk-library.ts';
import type { Logger } from '../process/logger.ts';
import type { CompressionPace } from './compression-pace.ts';
import { readBatches } from './disk-routes-batches.ts';
import type { DiskRouteLimits } from './disk-routes-limits.ts';
import { compressBody } from './disk-zstd.ts';

/**
 * Opens the compressed stream of `runs`. The first batch is read before this resolves, so that a
 * source that can't be read is an error with a status of its own (I1). The result must be iterated,
 * if only to its first piece, before the disk is released.
 */
export async function openBlockStream(
  disk: Pick<ServedDisk, 'virtualSizeBytes' | 'readInto'>,
  runs: BlockRuns,
  options: {
    readonly limits: DiskRouteLimits;
    readonly logger: Logger;
    readonly pace: CompressionPace;
  },
): Promise<AsyncGenerator<Uint8Array>> {
  const batches = readBatches(disk, runs, options.limits);
  const first = await batches.next();
  const { pace, logger } = options;
  const level = pace.levelOfNext(performance.now());
  return counted(compressBody(plainStream(first, batches, logger), level, pace.clock), pace);
}

async function* counted(
  pieces: AsyncIterable<Uint8Array>,
  pace: CompressionPace,
): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    pace.sentBytes += piece.length;
    yield piece;
  }
}

/**
 * How long the stream of `runs` is, at the level at which it would begin. Throws what reading
 * the disk throws, and the signal's reason.
 */
export async function blockStreamBytes(
  disk: Pick<ServedDisk, 'virtualSizeBytes' | 'readInto'>,
  runs: BlockRuns,
  { limits }: { readonly limits: DiskRouteLimits },
  signal: AbortSignal,
): Promise<number> {
  let bytes = 0;
  const batches = readBatches(disk, runs, limits);
  const plain = async function* (): AsyncGenerator<Uint8Array> {
    yield encodeBlockStreamHeader();
    yield* batches;
    yield encodeBlockStreamEnd('complete');
  };
  for await (const piece of compressBody(plain(), limits.compressionLevel)) {
    signal.throwIfAborted();
    bytes += piece.length;
  }
  return bytes;
}

async function* plainStream(
  first: IteratorResult<Uint8Array>,
  batches: AsyncGenerator<Uint8Array>,
  logger: Logger,
): AsyncGenerator<Uint8Array> {
  try {
    yield encodeBlockStreamHeader();
    for (let next = first; !next.done; next = await batches.next()) yield next.value;
    yield encodeBlockStreamEnd('complete');
  } catch (error) {
    const status = isVmdnError(error, 'withdrawn') ? 'withdrawn' : 'read_failed';
    logger.warn({ err: error, status }, `a block stream ended early: ${describeError(error)}`);
    yield encodeBlockStreamEnd(status);
  } finally {
    await batches.return(undefined);
  }
}
