/**
 * Room: formats. The body of a blocks request: which runs of blocks are wanted
 * (docs/formats/block-stream.md).
 *
 * I1: runs are pairs (first block, block count) in one Uint32Array, ascending, not overlapping, none empty.
 * I2: decode is total: `invalid_input` for bytes that break I1 or leave the disk, `too_large` beyond the
 *     limits.
 */

import { VmdnError } from '../domain/errors.ts';
import { MAX_BLOCKS_PER_REQUEST, MAX_RUNS_PER_REQUEST } from '../domain/limits.ts';
import { BLOCK_BYTES, blockCount } from '../domain/units.ts';

/** Runs of blocks as [startBlock, blockCount] pairs. */
export type BlockRuns = Uint32Array;

export const BLOCK_REQUEST_MAGIC = 'VMDNBRQ1';
const HEADER_BYTES = 16;

/** The largest body that decodes: for the HTTP layer's own limit. */
export const MAX_BLOCK_REQUEST_BYTES = HEADER_BYTES + MAX_RUNS_PER_REQUEST * 8;

/** The request body for `runs`. Throws like `checkRuns`. */
export function encodeBlockRequest(runs: BlockRuns, virtualSizeBytes: number): Uint8Array {
  checkRuns(runs, virtualSizeBytes);
  const bytes = new Uint8Array(HEADER_BYTES + runs.byteLength);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(BLOCK_REQUEST_MAGIC), 0);
  view.setUint32(8, runs.length / 2, true);
  for (let i = 0; i < runs.length; i += 1) view.setUint32(HEADER_BYTES + i * 4, runs[i]!, true);
  return bytes;
}

/** Reads a request body for a disk of this size. */
export function decodeBlockRequest(bytes: Uint8Array, virtualSizeBytes: number): BlockRuns {
  if (bytes.length < HEADER_BYTES) throw invalid('truncated');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < BLOCK_REQUEST_MAGIC.length; i += 1) {
    if (bytes[i] !== BLOCK_REQUEST_MAGIC.charCodeAt(i)) throw invalid('wrong magic');
  }
  const count = view.getUint32(8, true);
  if (view.getUint32(12, true) !== 0) throw invalid('reserved bytes are set');
  if (count > MAX_RUNS_PER_REQUEST) throw tooLarge('runs', count, MAX_RUNS_PER_REQUEST);
  if (bytes.length !== HEADER_BYTES + count * 8) throw invalid('wrong length');
  const runs = new Uint32Array(count * 2);
  for (let i = 0; i < runs.length; i += 1) runs[i] = view.getUint32(HEADER_BYTES + i * 4, true);
  checkRuns(runs, virtualSizeBytes);
  return runs;
}

/** Checks I1 and the limits. Returns how many blocks are asked for. Throws `invalid_input`, `too_large`. */
export function checkRuns(runs: BlockRuns, virtualSizeBytes: number): number {
  if (runs.length === 0 || runs.length % 2 !== 0) throw invalid('no runs');
  if (runs.length / 2 > MAX_RUNS_PER_REQUEST) {
    throw tooLarge('runs', runs.length / 2, MAX_RUNS_PER_REQUEST);
  }
  const blocks = blockCount(virtualSizeBytes);
  let [end, total] = [0, 0];
  for (let i = 0; i < runs.length; i += 2) {
    const start = runs[i]!;
    const count = runs[i + 1]!;
    if (count === 0) throw invalid('an empty run');
    if (start < end) throw invalid('runs overlap or are out of order');
    end = start + count;
    if (end > blocks) throw invalid('a run past the end of the disk');
    total += count;
  }
  if (total > MAX_BLOCKS_PER_REQUEST) throw tooLarge('blocks', total, MAX_BLOCKS_PER_REQUEST);
  return total;
}

/** Exact bytes of a run: the last block of the disk may be short. */
export function runBytes(virtualSizeBytes: number, startBlock: number, count: number): number {
  const start = startBlock * BLOCK_BYTES;
  return Math.min(start + count * BLOCK_BYTES, virtualSizeBytes) - start;
}

function invalid(what: string): VmdnError {
  return new VmdnError('invalid_input', `A blocks request is malformed (${what}).`, {
    data: { what },
  });
}

function tooLarge(unit: string, count: number, max: number): VmdnError {
  return new VmdnError('too_large', `A blocks request names at most ${max} ${unit}; split it.`, {
    data: { unit, count, max },
  });
}
