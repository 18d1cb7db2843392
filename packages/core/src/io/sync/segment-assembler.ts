/**
 * Room: io, sync (inside a worker). Completes segments from local images, the disk itself and what came
 * over the network, verifies them and writes them to the staging file.
 *
 * I1: a segment is written as verified only when the SHA-256 of its true length is the recipe's. There is
 *     no other way to `verified`, whatever the source.
 * I2: a segment that fails is taken apart block by block (segment-repair.ts); what it lacks is named.
 * I3: zero segments are not written; zero blocks of a segment are zeroed here, after the reads.
 * I4: reads are coalesced over the rows of a batch, writes over neighbouring segments.
 * I5: a segment is shared with the base only when the bytes that stand there, zero blocks included, have
 *     the recipe's SHA-256; it is then not written. One that is wrong there is written as the disk's own.
 */

import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { blockTier, hasBit, setBlockTier, tierCode } from '../../domain/bitmap.ts';
import { BASE_FILE, type ImageLayers, OWN_FILE } from '../../domain/layers.ts';
import { type DiskPlan, indexOf, keyOf, REMOTE, SELF } from '../../domain/plan.ts';
import { isSegmentNonZero } from '../../domain/recipe.ts';
import type { RecipeIndex } from '../../domain/recipe-index.ts';
import type { Share } from '../../domain/share.ts';
import {
  BLOCK_BYTES,
  BLOCKS_PER_SEGMENT,
  SEGMENT_BYTES,
  segmentCount,
  segmentLengthBytes,
} from '../../domain/units.ts';
import { isZero, segmentMatches } from '../../formats/segment-hash.ts';
import {
  type AssembleResult,
  type AssemblyJob,
  type BlockMismatch,
  type CheckResult,
  NO_SLOT,
  type RowShortage,
  type RowWork,
} from '../ports/disk-assembly.ts';
import { ImageReader, STAGING_FILE } from './image-reader.ts';
import { repairSegment } from './segment-repair.ts';

/** Rows in one batch of local work: 2 MiB, long enough for the disk, short enough for the cache. */
export const ROWS_PER_BATCH = 32;

const ZERO_CODE = tierCode('zero');
const ZEROS = new Uint8Array(SEGMENT_BYTES);

/** A row's segment while it is put together. */
export interface Piece {
  readonly work: RowWork;
  readonly segment: number;
  readonly lengthBytes: number;
  /** Mask of the blocks that are not zero. */
  readonly mask: number;
  /** Where the segment is built: SEGMENT_BYTES from `at` on. */
  readonly buffer: Uint8Array;
  readonly at: number;
}

export class SegmentAssembler {
  readonly plan: DiskPlan;
  readonly index: RecipeIndex;
  readonly reader: ImageReader;
  readonly states: Uint8Array;
  readonly records: Uint32Array;
  /** Tier code of each image. */
  readonly #imageTiers: Uint8Array;
  readonly #fd: number;
  readonly #staging: ImageLayers;
  /** Where byte 0 of the disk lies in the staging file. */
  readonly #offsetBytes: number;
  readonly #share: Share | null;
  readonly #arena: Uint8Array;
  readonly #batch = new Uint8Array(ROWS_PER_BATCH * SEGMENT_BYTES);

  constructor(job: AssemblyJob) {
    this.plan = job.plan;
    this.index = indexOf(job.plan);
    this.states = job.states;
    this.records = job.records;
    this.#arena = new Uint8Array(job.arena);
    this.#imageTiers = Uint8Array.from(job.plan.images, (image) => tierCode(image.tier ?? 'local'));
    const { path, offsetBytes } = job.staging.files[OWN_FILE]!;
    this.#fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
    this.#staging = job.staging;
    this.#offsetBytes = offsetBytes;
    this.#share = job.staging.files[BASE_FILE] === undefined ? null : job.plan.share;
    const images = job.plan.images.map(({ layers }) => layers);
    this.reader = new ImageReader(images, job.staging, this.#fd);
  }

  close(): void {
    this.reader.close();
    closeSync(this.#fd);
  }

  /** Throws what writing throws (ENOSPC …); reading never throws. */
  assemble(rows: readonly RowWork[]): AssembleResult {
    const verified: number[] = [];
    const shortages: RowShortage[] = [];
    const mismatches: BlockMismatch[] = [];
    for (let from = 0; from < rows.length; from += ROWS_PER_BATCH) {
      const all = rows.slice(from, from + ROWS_PER_BATCH).map((work, i) => this.#piece(work, i));
      const pieces = this.#shareAll(all, verified, mismatches);
      for (const piece of pieces) this.#gather(piece);
      this.reader.flush();
      for (const piece of pieces) this.#finish(piece);
      const good: Piece[] = [];
      for (const piece of pieces) {
        const isRight =
          this.matches(piece) || repairSegment(this, piece, { shortages, mismatches });
        if (!isRight) continue;
        good.push(piece);
        verified.push(piece.work.row);
      }
      this.#writeAll(good);
    }
    return { verified: Uint32Array.from(verified), shortages, mismatches };
  }

  /** Puts the fresh blocks of a row into the staging file, unproven. */
  stage(work: RowWork): void {
    this.writeBlocks(this.#piece(work, 0), work.fresh);
    this.#recordFresh(work);
  }

  /** See AssemblySession.check. */
  check(from: number, to: number): CheckResult {
    const verified: number[] = [];
    let zeroed = 0;
    const { virtualSizeBytes, segmentHashes } = this.plan.wanted;
    const end = Math.min(to, segmentCount(virtualSizeBytes));
    for (let first = from; first < end; first += ROWS_PER_BATCH) {
      const count = Math.min(ROWS_PER_BATCH, end - first);
      this.#readStaging(first * SEGMENT_BYTES, count * SEGMENT_BYTES);
      for (let i = 0; i < count; i += 1) {
        const length = segmentLengthBytes(virtualSizeBytes, first + i);
        const segment = this.#batch.subarray(i * SEGMENT_BYTES, i * SEGMENT_BYTES + length);
        if (isSegmentNonZero(this.plan.wanted, first + i)) {
          const row = this.index.rowOf(first + i);
          // Nothing was written where it reads as zero: the hash of that is known to be wrong.
          if (!isZero(segment) && segmentMatches(segment, segmentHashes, row)) verified.push(row);
        } else if (!isZero(segment)) {
          this.#write(ZEROS, 0, length, (first + i) * SEGMENT_BYTES);
          zeroed += 1;
        }
      }
    }
    return { verified: Uint32Array.from(verified), zeroed };
  }

  matches(piece: Piece): boolean {
    const segment = piece.buffer.subarray(piece.at, piece.at + piece.lengthBytes);
    return segmentMatches(segment, this.plan.wanted.segmentHashes, piece.work.row);
  }

  tierOfImage(image: number): number {
    return this.#imageTiers[image]!;
  }

  /** Writes the named blocks of a piece to the staging file, each at its place. */
  writeBlocks(piece: Piece, mask: number): void {
    for (let bit = 0; bit < BLOCKS_PER_SEGMENT; bit += 1) {
      const from = bit * BLOCK_BYTES;
      if ((mask & (1 << bit)) === 0 || from >= piece.lengthBytes) continue;
      const length = Math.min(BLOCK_BYTES, piece.lengthBytes - from);
      this.#write(piece.buffer, piece.at + from, length, piece.segment * SEGMENT_BYTES + from);
    }
  }

  #piece(work: RowWork, place: number): Piece {
    const segment = this.index.segmentOfRow[work.row]!;
    const isLocal = work.slot === NO_SLOT;
    return {
      work,
      segment,
      lengthBytes: segmentLengthBytes(this.plan.wanted.virtualSizeBytes, segment),
      mask: this.plan.wanted.blockMasks[work.row]!,
      buffer: isLocal ? this.#batch : this.#arena,
      at: (isLocal ? place : work.slot) * SEGMENT_BYTES,
    };
  }

  /** Leaves in the base what is right there; returns the pieces that must be put together. */
  #shareAll(pieces: Piece[], verified: number[], mismatches: BlockMismatch[]): Piece[] {
    const share = this.#share;
    if (share === null) return pieces;
    const inBase = pieces.filter(({ work: { row, slot, fresh, staged, self } }) => {
      return slot === NO_SLOT && (fresh | staged | self) === 0 && hasBit(share.rows, row);
    });
    for (const { buffer, at, segment, lengthBytes } of inBase) {
      for (let from = 0; from < lengthBytes; from += BLOCK_BYTES) {
        const block = segment * BLOCKS_PER_SEGMENT + from / BLOCK_BYTES;
        this.reader.gather(share.image, block, buffer, at + from);
      }
    }
    this.reader.flush();
    const shared = new Set<Piece>();
    for (const piece of inBase) {
      if (this.matches(piece)) {
        this.#leaveInBase(piece, share.image);
        verified.push(piece.work.row);
        shared.add(piece);
      } else {
        const block = piece.segment * BLOCKS_PER_SEGMENT;
        mismatches.push({ image: share.image, block, reason: 'wrong_base' });
      }
    }
    return pieces.filter((piece) => !shared.has(piece));
  }

  #leaveInBase({ work, segment, mask, lengthBytes }: Piece, image: number): void {
    for (let bit = 0; bit * BLOCK_BYTES < lengthBytes; bit += 1) {
      const isNonZero = (mask & (1 << bit)) !== 0;
      setBlockTier(this.records, work.row, bit, isNonZero ? this.tierOfImage(image) : ZERO_CODE);
    }
    this.#staging.fileOfSegment![segment] = BASE_FILE;
  }

  /** Asks the reader for every block of a piece that lies in some file. */
  #gather(piece: Piece): void {
    const { work, mask, buffer, at } = piece;
    const { plan } = this;
    const firstBlock = piece.segment * BLOCKS_PER_SEGMENT;
    // A run is read through zero blocks, whose bytes are cleared afterwards; never through fresh ones,
    // and never from one slot of the arena into the next, which may belong to another segment.
    if (work.slot !== NO_SLOT) this.reader.flush();
    for (let rest = mask; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest);
      const flag = 1 << bit;
      const target = at + bit * BLOCK_BYTES;
      if ((work.fresh & flag) !== 0) {
        this.reader.flush();
        continue;
      }
      if ((work.staged & flag) !== 0) {
        this.reader.gather(STAGING_FILE, firstBlock + bit, buffer, target);
        continue;
      }
      const key = keyOf(this.index, mask, work.row, bit);
      const source = plan.source[key]!;
      if ((work.self & flag) !== 0 || source === SELF || source === REMOTE) {
        const first = plan.firstBlockOf[key]!;
        const isInside = first >>> 4 === piece.segment;
        if (isInside) this.reader.flush();
        else this.reader.gather(STAGING_FILE, first, buffer, target);
      } else {
        const image = plan.placeImage[source]!;
        this.reader.gather(image, plan.placeBlock[source]!, buffer, target);
      }
    }
  }

  /** After the reads: zero blocks, repetitions inside the segment, and the tier of every block. */
  #finish(piece: Piece): void {
    const { work, mask, buffer, at } = piece;
    const { plan, records } = this;
    for (let bit = 0; bit * BLOCK_BYTES < piece.lengthBytes; bit += 1) {
      const flag = 1 << bit;
      const target = at + bit * BLOCK_BYTES;
      if ((mask & flag) === 0) {
        buffer.fill(0, target, target + BLOCK_BYTES);
        setBlockTier(records, work.row, bit, ZERO_CODE);
        continue;
      }
      if (((work.fresh | work.staged) & flag) !== 0) continue;
      const key = keyOf(this.index, mask, work.row, bit);
      const source = plan.source[key]!;
      if ((work.self & flag) === 0 && source !== SELF && source !== REMOTE) {
        const code = this.#imageTiers[plan.placeImage[source]!]!;
        setBlockTier(records, work.row, bit, code);
        continue;
      }
      this.copyRepeated(piece, bit, plan.firstBlockOf[key]!);
    }
    this.#recordFresh(work);
    // In-segment repetitions take their tier from blocks recorded just now, so they come last.
    for (let rest = mask & ~work.fresh & ~work.staged; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest);
      const source = plan.source[keyOf(this.index, mask, work.row, bit)]!;
      if ((work.self & (1 << bit)) !== 0 || source === SELF || source === REMOTE) {
        this.recordRepeated(piece, bit, plan.firstBlockOf[keyOf(this.index, mask, work.row, bit)]!);
      }
    }
  }

  /** Copies a block from its first copy in the same segment; from elsewhere it was read already. */
  copyRepeated(piece: Piece, bit: number, firstBlock: number): void {
    if (firstBlock >>> 4 !== piece.segment) return;
    const from = piece.at + (firstBlock & 15) * BLOCK_BYTES;
    piece.buffer.copyWithin(piece.at + bit * BLOCK_BYTES, from, from + BLOCK_BYTES);
  }

  /** A repeated block counts for the tier of its first copy. */
  recordRepeated(piece: Piece, bit: number, firstBlock: number): void {
    const row = this.index.rowOf(firstBlock >>> 4);
    setBlockTier(this.records, piece.work.row, bit, blockTier(this.records, row, firstBlock & 15));
  }

  #recordFresh(work: RowWork): void {
    for (let rest = work.fresh; rest !== 0; rest &= rest - 1) {
      setBlockTier(this.records, work.row, 31 - Math.clz32(rest & -rest), work.tier);
    }
  }

  #writeAll(pieces: readonly Piece[]): void {
    for (let from = 0; from < pieces.length; ) {
      const first = pieces[from]!;
      let to = from + 1;
      let length = first.lengthBytes;
      while (to < pieces.length && follows(pieces[to - 1]!, pieces[to]!)) {
        length += pieces[to]!.lengthBytes;
        to += 1;
      }
      this.#write(first.buffer, first.at, length, first.segment * SEGMENT_BYTES);
      from = to;
    }
  }

  #write(buffer: Uint8Array, from: number, length: number, position: number): void {
    const place = this.#offsetBytes + position;
    for (let done = 0; done < length; ) {
      done += writeSync(this.#fd, buffer, from + done, length - done, place + done);
    }
  }

  #readStaging(position: number, length: number): void {
    let at = 0;
    while (at < length) {
      const place = this.#offsetBytes + position + at;
      const count = readSync(this.#fd, this.#batch, at, length - at, place);
      if (count === 0) break;
      at += count;
    }
    this.#batch.fill(0, at, length);
  }
}

/** Whether `next` lies behind `piece` both on the disk and in memory. */
function follows(piece: Piece, next: Piece): boolean {
  return (
    next.segment === piece.segment + 1 &&
    next.buffer.buffer === piece.buffer.buffer &&
    next.at === piece.at + SEGMENT_BYTES
  );
}
