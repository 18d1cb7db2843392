/**
 * Room: http. Reads the runs of a request in batches, a few ahead of whoever compresses them.
 *
 * I1: a batch holds the records (run header and bytes) of at most `batchBytesMax` bytes of disk, in
 *     the order of the request; a long run is cut, short ones are gathered.
 * I2: at most `batchesAhead` + 1 batches are in memory, whatever the request asks for.
 * I3: when reading ends, for whatever reason, no read is left in flight: the disk can be released.
 */

import { BLOCK_BYTES } from '../domain/units.ts';
import { type BlockRuns, runBytes } from '../formats/block-request.ts';
import { encodeRunHeader } from '../formats/block-stream.ts';
import type { ServedDisk } from '../io/ports/disk-library.ts';

/** One contiguous piece of a disk. */
export interface BlockRecord {
  readonly startBlock: number;
  readonly blockCount: number;
}

/** Cuts and gathers runs into batches of at most `blocksMax` blocks. */
export function* planBatches(runs: BlockRuns, blocksMax: number): Generator<BlockRecord[]> {
  let batch: BlockRecord[] = [];
  let room = blocksMax;
  for (let i = 0; i < runs.length; i += 2) {
    const end = runs[i]! + runs[i + 1]!;
    for (let startBlock = runs[i]!; startBlock < end; ) {
      const blockCount = Math.min(end - startBlock, room);
      batch.push({ startBlock, blockCount });
      startBlock += blockCount;
      room -= blockCount;
      if (room > 0) continue;
      yield batch;
      batch = [];
      room = blocksMax;
    }
  }
  if (batch.length > 0) yield batch;
}

/**
 * Yields the encoded records of all runs. Each yielded array is valid until the next one is asked
 * for. Throws what the disk's reads throw.
 */
export async function* readBatches(
  disk: Pick<ServedDisk, 'virtualSizeBytes' | 'readInto'>,
  runs: BlockRuns,
  limits: { readonly batchBytesMax: number; readonly batchesAhead: number },
): AsyncGenerator<Uint8Array> {
  const plan = planBatches(runs, Math.max(1, Math.floor(limits.batchBytesMax / BLOCK_BYTES)));
  const reading: Promise<Uint8Array>[] = [];
  const startNext = (): void => {
    const next = plan.next();
    if (next.done) return;
    const batch = readBatch(disk, next.value);
    batch.catch(() => undefined);
    reading.push(batch);
  };
  try {
    for (let ahead = 0; ahead <= limits.batchesAhead; ahead += 1) startNext();
    while (reading.length > 0) {
      const bytes = await reading[0]!;
      yield bytes;
      // Only now: before this one was compressed, one more in memory would be one too many.
      reading.shift();
      startNext();
    }
  } finally {
    await Promise.allSettled(reading);
  }
}

/** Reads one batch into one array: run header, bytes, run header, bytes, … */
async function readBatch(
  disk: Pick<ServedDisk, 'virtualSizeBytes' | 'readInto'>,
  records: readonly BlockRecord[],
): Promise<Uint8Array> {
  const headers = records.map((record) => encodeRunHeader(record.startBlock, record.blockCount));
  const lengths = records.map((record) =>
    runBytes(disk.virtualSizeBytes, record.startBlock, record.blockCount),
  );
  const total = lengths.reduce((sum, length, i) => sum + length + headers[i]!.length, 0);
  const bytes = Buffer.allocUnsafeSlow(total);
  const reads: Promise<void>[] = [];
  let at = 0;
  for (const [i, record] of records.entries()) {
    bytes.set(headers[i]!, at);
    at += headers[i]!.length;
    const target = bytes.subarray(at, at + lengths[i]!);
    reads.push(disk.readInto(target, record.startBlock * BLOCK_BYTES));
    at += lengths[i]!;
  }
  const results = await Promise.allSettled(reads);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return bytes;
}
