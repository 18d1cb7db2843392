/**
 * Room: io, ports. What the sync executor asks of the machine: workers that assemble, verify and write
 * segments, and the staging area that keeps them durable.
 *
 * I1: a row (non-zero segment) is reported verified only after its bytes had the recipe's SHA-256 and
 *     were written to the staging file, or were read just now at their place in the shared base and the
 *     layers say so; durability is the staging area's business.
 * I2: calls about one row never overlap.
 */

import type { Digest } from '../../domain/digest.ts';
import type { ImageLayers } from '../../domain/layers.ts';
import type { DiskPlan } from '../../domain/plan.ts';

/** Words that describe one row in `assemble`: see `packRow`. */
export const ROW_WORDS = 4;
/** No slot: the row's blocks are all on this machine's disks. */
export const NO_SLOT = 0xffffffff;

/** What a worker must know of one row. */
export interface RowWork {
  readonly row: number;
  /** Slot of the arena in which the fresh blocks lie, each at its place in the segment; or NO_SLOT. */
  readonly slot: number;
  /** Blocks that just came from a remote source. */
  readonly fresh: number;
  /** Blocks that lie unproven in the staging file. */
  readonly staged: number;
  /** Blocks to copy from the first block of this disk with the same key. */
  readonly self: number;
  /** Tier code (domain/bitmap.ts) of the fresh blocks. */
  readonly tier: number;
}

export function packRow(into: Uint32Array, at: number, work: RowWork): void {
  into[at] = work.row;
  into[at + 1] = work.slot;
  into[at + 2] = work.fresh | (work.staged << 16);
  into[at + 3] = work.self | (work.tier << 16);
}

export function unpackRow(words: Uint32Array, at: number): RowWork {
  return {
    row: words[at]!,
    slot: words[at + 1]!,
    fresh: words[at + 2]! & 0xffff,
    staged: words[at + 2]! >>> 16,
    self: words[at + 3]! & 0xffff,
    tier: words[at + 3]! >>> 16,
  };
}

/** Why bytes from a source did not count. */
export const MISMATCH_REASONS = [
  /** The block has another key than the recipe says: the image changed or rots. */
  'wrong_block',
  /** The image could not be read there. */
  'read_failed',
  /** Every key was right, the segment's hash was not: two blocks share one 64-bit key. */
  'key_collision',
  /** All blocks came from remote sources with the right keys, the segment's hash was not right. */
  'wrong_segment',
  /** The base does not hold the segment that its recipe has at this place. */
  'wrong_base',
] as const;
export type MismatchReason = (typeof MISMATCH_REASONS)[number];

export interface BlockMismatch {
  /** Number of the image in the plan; -1 for what came from a remote source; -2 for the staging file. */
  readonly image: number;
  readonly block: number;
  readonly reason: MismatchReason;
}

/** A row that could not be completed with what it was given. Masks are disjoint. */
export interface RowShortage {
  readonly row: number;
  /** Blocks that are good as far as one can tell and now lie in the staging file. */
  readonly staged: number;
  /** Blocks that must come from a remote source. */
  readonly lacks: number;
  /** Blocks that an earlier, not yet verified segment of this disk will provide. */
  readonly repeats: number;
  /** The fresh blocks, or the whole segment made of remote blocks, were wrong. */
  readonly isRemoteAtFault: boolean;
}

export interface AssembleResult {
  readonly verified: Uint32Array;
  readonly shortages: readonly RowShortage[];
  readonly mismatches: readonly BlockMismatch[];
}

export interface CheckResult {
  readonly verified: Uint32Array;
  /** Zero segments that held stale data. */
  readonly zeroed: number;
}

/** What all workers share for one disk. */
export interface AssemblyJob {
  readonly plan: DiskPlan;
  /** Where the disk in the making lies. With a second file, the plan's share may be made use of: the
   * worker then puts segments that it verified in the base into the column. */
  readonly staging: ImageLayers;
  /** State byte of each row (ROW_DONE: may be copied from), shared. */
  readonly states: Uint8Array;
  /** Tier records, shared; workers write those of the rows they are given. */
  readonly records: Uint32Array;
  /** Slots of one segment each, shared. */
  readonly arena: SharedArrayBuffer;
}

export interface AssemblySession {
  /** How many jobs keep all workers busy. */
  readonly width: number;
  /** Completes, verifies and writes rows. `urgent` work goes before work that merely is there. */
  assemble(rows: readonly RowWork[], urgent: boolean): Promise<AssembleResult>;
  /** Puts a row's fresh blocks into the staging file, unproven. */
  stage(row: RowWork): Promise<void>;
  /**
   * Verifies what the staging file holds of segments [from, to): returns the rows that are right, and
   * overwrites with zeros every zero segment that does not read as zero.
   */
  check(from: number, to: number): Promise<CheckResult>;
  /** Waits for the work at hand, then closes files. */
  close(): Promise<void>;
}

export interface Assembler {
  open(job: AssemblyJob): Promise<AssemblySession>;
}

/** A staging directory, opened by the one process that owns it. */
export interface StagingArea {
  readonly path: string;
  readonly recipePath: string;
  /** The disk's own file first; the base, when the disk shares storage with one. */
  readonly layers: ImageLayers;
  /** `fresh`: nothing there. `trusted`: `records` are true. `doubtful`: check all segments,
   * zero ones too, before use; until that is done it must not be closed as clean. */
  readonly condition: 'fresh' | 'trusted' | 'doubtful';
  /** Two words per row: what the bitmap claims. */
  readonly records: Uint32Array;
  /** One number for each of TIERS: wire bytes counted before. */
  readonly wireBytes: readonly number[];
  /** Data, fdatasync, records of `rows`, fdatasync. `records` and `wireBytes` are copied at once. */
  commit(
    rows: readonly number[],
    records: Uint32Array,
    wireBytes: readonly number[],
  ): Promise<void>;
  /**
   * Writes what was counted so far, without waiting for the disk: it outlives this process, not a power
   * cut, which leaves the numbers of the last commit. `wireBytes` is copied at once. One at a time.
   */
  note(wireBytes: readonly number[]): Promise<void>;
  /** With `isClean`, what is committed is trusted at the next opening, and a shared disk's tables are
   * written: the file can be read by anybody. */
  close(isClean: boolean): Promise<void>;
}

export interface StagingAreas {
  open(dir: string, plan: DiskPlan): Promise<StagingArea>;
}

/** What a staging directory says of itself. */
export interface StagingState {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly generation: string;
  /** The image that rows are shared with; null: none. */
  readonly base: Digest | null;
}
