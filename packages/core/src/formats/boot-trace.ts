/**
 * Room: formats. A boot trace as bytes (docs/formats/boot-trace.md): which blocks a guest read until it was
 * ready, as runs in the order of the first reads, and their match keys.
 *
 * I1: every trace has exactly one encoding: runs are as long as they can be, and each block stands once.
 * I2: decode is total: wrong magic, length, run or repetition throws `corrupt`, more blocks than the limit
 *     `too_large`; nothing is allocated that the length of the input does not pay for.
 */

import type { BootTrace } from '../domain/boot-trace.ts';
import { VmdnError } from '../domain/errors.ts';
import { MAX_DISK_BYTES, TRACE_BLOCKS_MAX, TRACE_DISKS_MAX } from '../domain/limits.ts';
import { BLOCK_BYTES } from '../domain/units.ts';

export const TRACE_MAGIC = 'VMDNTRC1';
const HEADER_BYTES = 16;
const RUN_BYTES = 8;
const KEY_BYTES = 8;
const DISK_BITS = 24;
const BLOCKS_END = MAX_DISK_BYTES / BLOCK_BYTES;

interface Run {
  readonly disk: number;
  readonly first: number;
  count: number;
}

/** A trace as bytes. Throws `too_large`; it must be one that decodes. */
export function encodeBootTrace(trace: BootTrace): Uint8Array {
  const blocks = trace.disks.length;
  checkLength(blocks);
  const runs = runsOf(trace);
  const bytes = new Uint8Array(HEADER_BYTES + runs.length * RUN_BYTES + blocks * KEY_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(TRACE_MAGIC), 0);
  view.setUint32(8, blocks, true);
  view.setUint32(12, runs.length, true);
  let at = HEADER_BYTES;
  for (const { disk, first, count } of runs) {
    view.setUint32(at, first, true);
    view.setUint32(at + 4, disk * 2 ** DISK_BITS + count, true);
    at += RUN_BYTES;
  }
  for (const word of trace.keys) {
    view.setUint32(at, word, true);
    at += 4;
  }
  return bytes;
}

function runsOf({ disks, blocks }: BootTrace): Run[] {
  const runs: Run[] = [];
  for (let k = 0; k < disks.length; k += 1) {
    const [disk, block] = [disks[k]!, blocks[k]!];
    const last = runs.at(-1);
    if (last !== undefined && continues(last, disk, block)) last.count += 1;
    else runs.push({ disk, first: block, count: 1 });
  }
  return runs;
}

function continues(run: Run, disk: number, block: number): boolean {
  return run.disk === disk && run.first + run.count === block;
}

/** Reads a trace. Throws `corrupt`, `too_large`. */
export function decodeBootTrace(bytes: Uint8Array): BootTrace {
  if (bytes.length < HEADER_BYTES) throw corrupt('shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < TRACE_MAGIC.length; i += 1) {
    if (bytes[i] !== TRACE_MAGIC.charCodeAt(i)) throw corrupt('wrong magic');
  }
  const count = view.getUint32(8, true);
  const runs = view.getUint32(12, true);
  checkLength(count);
  const keysAt = HEADER_BYTES + runs * RUN_BYTES;
  if (bytes.length !== keysAt + count * KEY_BYTES) throw corrupt('wrong length');
  const trace: BootTrace = {
    disks: new Uint8Array(count),
    blocks: new Uint32Array(count),
    keys: new Uint32Array(2 * count),
  };
  readRuns(view, runs, trace);
  for (let word = 0; word < trace.keys.length; word += 1) {
    trace.keys[word] = view.getUint32(keysAt + 4 * word, true);
  }
  return trace;
}

/** Fills the columns of disks and blocks. */
function readRuns(view: DataView, runs: number, { disks, blocks }: BootTrace): void {
  const seen = new Set<number>();
  let k = 0;
  let last: Run | undefined;
  for (let r = 0; r < runs; r += 1) {
    const at = HEADER_BYTES + r * RUN_BYTES;
    const first = view.getUint32(at, true);
    const word = view.getUint32(at + 4, true);
    const run = { disk: word >>> DISK_BITS, first, count: word % 2 ** DISK_BITS };
    const isRight = run.count > 0 && k + run.count <= disks.length;
    if (!isRight || run.disk >= TRACE_DISKS_MAX || first + run.count > BLOCKS_END) {
      throw corrupt('a run that cannot be');
    }
    if (last !== undefined && continues(last, run.disk, first))
      throw corrupt('a run in two pieces');
    for (let block = first; block < first + run.count; block += 1) {
      seen.add(run.disk * BLOCKS_END + block);
      disks[k] = run.disk;
      blocks[k] = block;
      k += 1;
    }
    last = run;
  }
  if (k !== disks.length || seen.size !== k) throw corrupt('blocks that are missing or repeated');
}

function checkLength(blocks: number): void {
  if (blocks > TRACE_BLOCKS_MAX) {
    throw new VmdnError('too_large', `A boot trace has at most ${TRACE_BLOCKS_MAX} blocks.`, {
      data: { blocks },
    });
  }
}

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `The boot trace is wrong (${what}); it is not used.`, {
    data: { what },
  });
}
