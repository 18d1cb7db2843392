/**
 * Room: edge, sync. Takes the blocks of one request, puts each at its place in a slot, and hands on every
 * row whose blocks are all there.
 *
 * I1: at most one row of a request is incomplete at any time, because blocks come in disk order: so all
 *     other slots are on their way to a worker, and slots always become free.
 * I2: what was not asked for, comes twice, or out of order is `corrupt`.
 * I3: bytes are copied during the call.
 * I4: no block that came is lost with the request that brought it.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { RecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import type { RemoteBatch } from '@vmdn/core/domain/schedule.ts';
import {
  BLOCK_BYTES,
  BLOCKS_PER_SEGMENT,
  blockLengthBytes,
  SEGMENT_BYTES,
} from '@vmdn/core/domain/units.ts';
import type { SlotArena } from './slot-arena.ts';

/** Blocks of a row, in a slot, as `fresh` says. */
export interface ArrivedRow {
  readonly row: number;
  readonly slot: number;
  readonly fresh: number;
}

/** What is left of a request that ended early. */
export interface Abandoned {
  /** Some of its blocks are in the slot, as `fresh` says; the slot is the caller's to release. */
  readonly part: ArrivedRow | undefined;
  readonly missing: Uint32Array;
}

export interface BatchReceiverOptions {
  readonly batch: RemoteBatch;
  readonly index: RecipeIndex;
  readonly virtualSizeBytes: number;
  readonly arena: SlotArena;
  /** Blocks wanted of a row. */
  readonly wantedMask: (row: number) => number;
  /** A row of which all wanted blocks have come. */
  readonly onRow: (arrived: ArrivedRow) => void;
}

export class BatchReceiver {
  readonly #options: BatchReceiverOptions;
  /** Place in batch.rows of the row in hand. */
  #at = 0;
  #received = 0;
  #slot = -1;

  constructor(options: BatchReceiverOptions) {
    this.#options = options;
  }

  /** Takes `count` blocks from `startBlock` on. Throws `corrupt`. */
  take(startBlock: number, count: number, bytes: Uint8Array): void {
    const { virtualSizeBytes } = this.#options;
    const lastLength = blockLengthBytes(virtualSizeBytes, startBlock + count - 1);
    if (count < 1 || lastLength <= 0 || bytes.length !== (count - 1) * BLOCK_BYTES + lastLength) {
      throw unexpected(startBlock, count);
    }
    let at = 0;
    for (let block = startBlock; block < startBlock + count; ) {
      const bit = block % BLOCKS_PER_SEGMENT;
      const blocks = Math.min(BLOCKS_PER_SEGMENT - bit, startBlock + count - block);
      const length = Math.min(blocks * BLOCK_BYTES, bytes.length - at);
      this.#takePart(block, bit, blocks, bytes.subarray(at, at + length));
      at += length;
      block += blocks;
    }
  }

  /** Says that the source is finished. Throws `corrupt` when blocks are missing. */
  end(): void {
    if (this.#at === this.#options.batch.rows.length) return;
    throw new VmdnError('corrupt', 'A source ended before all blocks had come.');
  }

  /** Gives up. Returns what came of the row in hand, and the rows of which nothing came. */
  abandon(): Abandoned {
    const { rows } = this.#options.batch;
    const hasPart = this.#slot >= 0;
    const part = hasPart
      ? { row: rows[this.#at]!, slot: this.#slot, fresh: this.#received }
      : undefined;
    const missing = rows.subarray(this.#at + (hasPart ? 1 : 0));
    this.#slot = -1;
    this.#at = rows.length;
    return { part, missing };
  }

  #takePart(block: number, bit: number, count: number, bytes: Uint8Array): void {
    const { batch, index, arena, wantedMask, onRow } = this.#options;
    const row = batch.rows[this.#at];
    const mask = ((1 << count) - 1) << bit;
    if (row === undefined || index.segmentOfRow[row] !== Math.floor(block / BLOCKS_PER_SEGMENT)) {
      throw unexpected(block, count);
    }
    const wanted = wantedMask(row);
    const isAscending = this.#received < 1 << bit;
    if ((mask & ~wanted) !== 0 || !isAscending) throw unexpected(block, count);
    if (this.#slot < 0) this.#slot = arena.take();
    arena.bytes.set(bytes, this.#slot * SEGMENT_BYTES + bit * BLOCK_BYTES);
    this.#received |= mask;
    if (this.#received !== wanted) return;
    const arrived = { row, slot: this.#slot, fresh: wanted };
    this.#slot = -1;
    this.#received = 0;
    this.#at += 1;
    onRow(arrived);
  }
}

function unexpected(block: number, count: number): VmdnError {
  return new VmdnError('corrupt', 'A source sent blocks that were not asked for.', {
    data: { block, count },
  });
}
