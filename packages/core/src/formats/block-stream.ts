/**
 * Room: formats. The body of a blocks response before compression (docs/formats/block-stream.md).
 *
 * I1: header, then records (first block, block count, the run's bytes), then one final record with a
 *     status. A stream without the final record is truncated, whatever came before.
 * I2: records name exactly the blocks that were asked for, in order; a record may be a part of a run.
 *     `complete` is accepted only when every block has come.
 * I3: the decoder makes no object per block: it hands on views of whole blocks; only a block that
 *     straddles two chunks is copied. It holds at most one block of input.
 * I4: the decoder is total: any bytes in any chunks end in delivered blocks and a status, or in `corrupt`.
 *     After a throw it takes no more.
 */

import { VmdnError } from '../domain/errors.ts';
import { BLOCK_BYTES, blockCount, blockLengthBytes } from '../domain/units.ts';
import { type BlockRuns, checkRuns } from './block-request.ts';

export const BLOCK_STREAM_MAGIC = 'VMDNBLK1';
const RECORD_BYTES = 8;
const FINAL_RECORD = 0xffff_ffff;

/** How a stream ended: all blocks; the source was withdrawn; the source could not be read. */
export type BlockStreamStatus = 'complete' | 'withdrawn' | 'read_failed';

const STATUSES: readonly BlockStreamStatus[] = ['complete', 'withdrawn', 'read_failed'];

/** What every stream begins with. */
export function encodeBlockStreamHeader(): Uint8Array {
  return new TextEncoder().encode(BLOCK_STREAM_MAGIC);
}

/** What goes before the bytes of a run. */
export function encodeRunHeader(startBlock: number, count: number): Uint8Array {
  return encodeRecord(startBlock, count);
}

/** What every stream ends with. */
export function encodeBlockStreamEnd(status: BlockStreamStatus): Uint8Array {
  return encodeRecord(FINAL_RECORD, STATUSES.indexOf(status));
}

export interface BlockStreamDecoderOptions {
  readonly virtualSizeBytes: number;
  /** What was asked for. */
  readonly runs: BlockRuns;
  /**
   * Called with whole blocks as they arrive, in order. `bytes` is a view that is valid only during the
   * call; it ends short where the disk does.
   */
  readonly onBlocks: (startBlock: number, count: number, bytes: Uint8Array) => void;
}

export interface BlockStreamDecoder {
  /** Takes the next bytes, cut anywhere. Throws `corrupt`. */
  push(chunk: Uint8Array): void;
  /** Says that no more bytes come. Throws `corrupt` when the stream is truncated. */
  end(): BlockStreamStatus;
  /** How many blocks have been handed on. */
  deliveredBlocks(): number;
}

/** A decoder for the response to one request. Throws like `checkRuns` when `runs` is malformed. */
export function createBlockStreamDecoder(options: BlockStreamDecoderOptions): BlockStreamDecoder {
  return new Decoder(options);
}

type Part = 'magic' | 'record' | 'blocks' | 'ended' | 'broken';

class Decoder implements BlockStreamDecoder {
  readonly #options: BlockStreamDecoderOptions;
  readonly #wantedBlocks: number;
  /** Bytes of a record or block that straddles chunks. */
  readonly #carry = new Uint8Array(BLOCK_BYTES);
  #carried = 0;
  #part: Part = 'magic';
  #status: BlockStreamStatus | undefined;
  #delivered = 0;
  /** Pair index in `runs`, the next block wanted from it, and where the record in hand ends. */
  #run = 0;
  #nextBlock: number;
  #recordEnd = 0;

  constructor(options: BlockStreamDecoderOptions) {
    this.#wantedBlocks = checkRuns(options.runs, options.virtualSizeBytes);
    this.#options = options;
    this.#nextBlock = options.runs[0]!;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    try {
      while (at < chunk.length) at = this.#take(chunk, at);
    } catch (error) {
      this.#part = 'broken';
      throw error;
    }
  }

  end(): BlockStreamStatus {
    if (this.#part === 'ended' && this.#status !== undefined) return this.#status;
    this.#part = 'broken';
    throw corrupt('truncated');
  }

  deliveredBlocks(): number {
    return this.#delivered;
  }

  /** Consumes some bytes from `at` on; returns where the rest begins. */
  #take(chunk: Uint8Array, at: number): number {
    switch (this.#part) {
      case 'magic':
        return this.#takeWhole(chunk, at, BLOCK_STREAM_MAGIC.length, () => this.#readMagic());
      case 'record':
        return this.#takeWhole(chunk, at, RECORD_BYTES, () => this.#readRecord());
      case 'blocks':
        return this.#takeBlocks(chunk, at);
      case 'ended':
        throw corrupt('bytes after its end');
      case 'broken':
        throw corrupt('it was broken before');
    }
  }

  /** Gathers `length` bytes in the carry, then calls `read`. */
  #takeWhole(chunk: Uint8Array, at: number, length: number, read: () => void): number {
    const end = Math.min(chunk.length, at + length - this.#carried);
    for (let i = at; i < end; i += 1) this.#carry[this.#carried + i - at] = chunk[i]!;
    this.#carried += end - at;
    if (this.#carried === length) {
      this.#carried = 0;
      read();
    }
    return end;
  }

  #readMagic(): void {
    for (let i = 0; i < BLOCK_STREAM_MAGIC.length; i += 1) {
      if (this.#carry[i] !== BLOCK_STREAM_MAGIC.charCodeAt(i)) throw corrupt('wrong magic');
    }
    this.#part = 'record';
  }

  #readRecord(): void {
    const view = new DataView(this.#carry.buffer);
    const first = view.getUint32(0, true);
    const second = view.getUint32(4, true);
    if (first === FINAL_RECORD) {
      this.#readEnd(second);
      return;
    }
    const { runs } = this.#options;
    if (this.#run >= runs.length || first !== this.#nextBlock) throw corrupt('an unwanted run');
    const runEnd = runs[this.#run]! + runs[this.#run + 1]!;
    if (second === 0 || first + second > runEnd) throw corrupt('a run of the wrong length');
    this.#recordEnd = first + second;
    this.#part = 'blocks';
  }

  #readEnd(code: number): void {
    const status = STATUSES[code];
    if (status === undefined) throw corrupt('an unknown status');
    if (status === 'complete' && this.#delivered !== this.#wantedBlocks) {
      throw corrupt('complete, but blocks are missing');
    }
    this.#status = status;
    this.#part = 'ended';
  }

  #takeBlocks(chunk: Uint8Array, at: number): number {
    const length = blockLengthBytes(this.#options.virtualSizeBytes, this.#nextBlock);
    const available = chunk.length - at;
    if (this.#carried > 0 || available < length) {
      const end = Math.min(chunk.length, at + length - this.#carried);
      this.#carry.set(chunk.subarray(at, end), this.#carried);
      this.#carried += end - at;
      if (this.#carried === length) {
        this.#carried = 0;
        this.#deliver(1, this.#carry.subarray(0, length));
      }
      return end;
    }
    const wanted = this.#recordEnd - this.#nextBlock;
    // Only the last block of the disk is shorter than 4 KiB; it goes through the carry or alone.
    const whole = length < BLOCK_BYTES ? 1 : Math.min(wanted, Math.floor(available / BLOCK_BYTES));
    const count = this.#withoutShortBlock(whole, length);
    const bytes = count * length;
    this.#deliver(count, chunk.subarray(at, at + bytes));
    return at + bytes;
  }

  /** Leaves a short last block of the disk out of a group of whole ones. */
  #withoutShortBlock(count: number, firstLength: number): number {
    const { virtualSizeBytes } = this.#options;
    const isLastIncluded = this.#nextBlock + count === blockCount(virtualSizeBytes);
    const isShort = virtualSizeBytes % BLOCK_BYTES !== 0;
    return isLastIncluded && isShort && firstLength === BLOCK_BYTES ? count - 1 : count;
  }

  #deliver(count: number, bytes: Uint8Array): void {
    const start = this.#nextBlock;
    this.#nextBlock += count;
    this.#delivered += count;
    if (this.#nextBlock === this.#recordEnd) {
      this.#part = 'record';
      const { runs } = this.#options;
      if (this.#recordEnd === runs[this.#run]! + runs[this.#run + 1]!) {
        this.#run += 2;
        this.#nextBlock = runs[this.#run] ?? this.#nextBlock;
      }
    }
    this.#options.onBlocks(start, count, bytes);
  }
}

function encodeRecord(first: number, second: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, first, true);
  view.setUint32(4, second, true);
  return bytes;
}

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `A stream of blocks is wrong (${what}); ask another source.`, {
    data: { what },
  });
}
