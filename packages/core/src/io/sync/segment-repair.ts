/**
 * Room: io, sync (inside a worker). Takes a segment apart whose SHA-256 is wrong: finds the bad blocks by
 * their keys, tries every other place on this machine, and names what must come from elsewhere.
 *
 * I1: a block counts as good only while its key is the recipe's; the segment counts only by its hash.
 * I2: order for a block: its other places, the first copy of it on this disk, then a remote source.
 * I3: when every key is right and the hash is not, two blocks share a key: all blocks that did not come
 *     from a remote source are fetched; when they all did, that source is at fault.
 * I4: what is good stays (in the staging file, unproven), so nothing good travels twice.
 */

import { blockTier, setBlockTier, tierCode } from '../../domain/bitmap.ts';
import { keyOf, REMOTE, SELF } from '../../domain/plan.ts';
import { ROW_DONE } from '../../domain/schedule.ts';
import { BLOCK_BYTES } from '../../domain/units.ts';
import { blockKeyInto } from '../../formats/segment-hash.ts';
import type { BlockMismatch, MismatchReason, RowShortage } from '../ports/disk-assembly.ts';
import { STAGING_FILE } from './image-reader.ts';
import type { Piece, SegmentAssembler } from './segment-assembler.ts';

/** Stands for "a remote source" among image numbers. */
const REMOTE_SOURCE = -1;
const REMOTE_CODES: readonly number[] = [tierCode('peer'), tierCode('origin')];

export interface RepairReport {
  readonly shortages: RowShortage[];
  readonly mismatches: BlockMismatch[];
}

/** True when the segment became right; otherwise a shortage says what it lacks. */
export function repairSegment(
  assembler: SegmentAssembler,
  piece: Piece,
  report: RepairReport,
): boolean {
  return new Repair(assembler, piece, report).run();
}

class Repair {
  readonly #assembler: SegmentAssembler;
  readonly #piece: Piece;
  readonly #report: RepairReport;
  readonly #key = new Uint32Array(2);
  #lacks = 0;
  #repeats = 0;
  #isRemoteAtFault = false;

  constructor(assembler: SegmentAssembler, piece: Piece, report: RepairReport) {
    this.#assembler = assembler;
    this.#piece = piece;
    this.#report = report;
  }

  run(): boolean {
    const { work, mask } = this.#piece;
    for (let rest = mask; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest);
      if (!this.#hasRightKey(bit)) this.#replace(bit);
    }
    const isComplete = this.#missing() === 0;
    if (isComplete && this.#assembler.matches(this.#piece)) return true;
    if (isComplete) this.#blameCollision();
    const staged = mask & ~this.#missing();
    this.#assembler.writeBlocks(this.#piece, staged);
    this.#report.shortages.push({
      row: work.row,
      staged,
      lacks: this.#lacks,
      repeats: this.#repeats,
      isRemoteAtFault: this.#isRemoteAtFault,
    });
    return false;
  }

  /** Whether the block that stands at `bit` has the key that the recipe wants there. */
  #hasRightKey(bit: number): boolean {
    const { buffer, at, lengthBytes } = this.#piece;
    const from = bit * BLOCK_BYTES;
    const length = Math.min(BLOCK_BYTES, lengthBytes - from);
    blockKeyInto(buffer.subarray(at + from, at + from + length), this.#key, 0);
    const keys = this.#assembler.plan.wanted.keys;
    const wanted = 2 * this.#keyIndex(bit);
    return this.#key[0] === keys[wanted] && this.#key[1] === keys[wanted + 1];
  }

  #keyIndex(bit: number): number {
    return keyOf(this.#assembler.index, this.#piece.mask, this.#piece.work.row, bit);
  }

  /** Finds a wrong block elsewhere on this machine, or notes that it is lacking. */
  #replace(bit: number): void {
    const flag = 1 << bit;
    if (this.#isFromRemote(bit)) {
      this.#note(REMOTE_SOURCE, bit, 'wrong_block');
      this.#isRemoteAtFault = true;
      this.#lacks |= flag;
      return;
    }
    const key = this.#keyIndex(bit);
    const first = this.#assembler.plan.firstBlockOf[key]!;
    if (first >>> 4 === this.#piece.segment && (this.#missing() & (1 << (first & 15))) !== 0) {
      this.#repeats |= flag;
      return;
    }
    const { work } = this.#piece;
    const source = this.#assembler.plan.source[key]!;
    const isLocal = ((work.staged | work.self) & flag) === 0 && source !== SELF;
    if (isLocal && source !== REMOTE) {
      if (this.#tryPlaces(bit, source)) return;
    } else {
      this.#note(STAGING_FILE, bit, 'wrong_block');
    }
    if (!this.#tryFirstCopy(bit, first)) this.#lacks |= flag;
  }

  #missing(): number {
    return this.#lacks | this.#repeats;
  }

  /** Whether the block came over the network: just now, or unproven from the staging file. */
  #isFromRemote(bit: number): boolean {
    const { work } = this.#piece;
    if ((work.fresh & (1 << bit)) !== 0) return true;
    const isStaged = (work.staged & (1 << bit)) !== 0;
    return isStaged && REMOTE_CODES.includes(blockTier(this.#assembler.records, work.row, bit));
  }

  /** Tries the block's places in local images; the planned one was read already and is wrong. */
  #tryPlaces(bit: number, planned: number): boolean {
    const { plan, reader, records } = this.#assembler;
    const { buffer, at, work } = this.#piece;
    const target = at + bit * BLOCK_BYTES;
    let place = planned;
    while (plan.placeBegins[place] === 0) place -= 1;
    do {
      const image = plan.placeImage[place]!;
      const wasRead = reader.readBlock(image, plan.placeBlock[place]!, buffer, target);
      if (wasRead && this.#hasRightKey(bit)) {
        setBlockTier(records, work.row, bit, this.#assembler.tierOfImage(image));
        return true;
      }
      this.#note(image, bit, wasRead ? 'wrong_block' : 'read_failed');
      place += 1;
    } while (plan.placeBegins[place] === 0);
    return false;
  }

  /** Takes the block from its first copy on this disk, now or when that copy is verified. */
  #tryFirstCopy(bit: number, first: number): boolean {
    const { reader, records, index, states } = this.#assembler;
    const { buffer, at, work, segment } = this.#piece;
    const [firstSegment, firstBit] = [first >>> 4, first & 15];
    const wasTried = ((work.self | work.staged) & (1 << bit)) !== 0;
    if (wasTried || (firstSegment === segment && firstBit >= bit)) return false;
    if (firstSegment === segment) {
      this.#assembler.copyRepeated(this.#piece, bit, first);
    } else {
      if (Atomics.load(states, index.rowOf(firstSegment)) !== ROW_DONE) {
        this.#repeats |= 1 << bit;
        return true;
      }
      const target = at + bit * BLOCK_BYTES;
      if (!reader.readBlock(STAGING_FILE, first, buffer, target)) return false;
    }
    if (!this.#hasRightKey(bit)) return false;
    const code = blockTier(records, index.rowOf(firstSegment), firstBit);
    setBlockTier(records, work.row, bit, code);
    return true;
  }

  /** Every key is right, the hash is not (I3). */
  #blameCollision(): void {
    const { mask } = this.#piece;
    const { plan } = this.#assembler;
    for (let rest = mask; rest !== 0; rest &= rest - 1) {
      const bit = 31 - Math.clz32(rest & -rest);
      if (this.#isFromRemote(bit)) continue;
      const source = plan.source[this.#keyIndex(bit)]!;
      const isLocal = source !== SELF && source !== REMOTE;
      this.#note(isLocal ? plan.placeImage[source]! : STAGING_FILE, bit, 'key_collision');
      this.#lacks |= 1 << bit;
    }
    if (this.#lacks !== 0) return;
    this.#note(REMOTE_SOURCE, 0, 'wrong_segment');
    this.#isRemoteAtFault = true;
    this.#lacks = mask;
  }

  #note(image: number, bit: number, reason: MismatchReason): void {
    this.#report.mismatches.push({ image, block: this.#piece.segment * 16 + bit, reason });
  }
}
