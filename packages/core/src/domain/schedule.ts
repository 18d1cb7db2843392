/**
 * Room: domain. The queue of segments that an executor works off: which are ready for local work, which
 * want blocks from a remote node, which wait for another segment of the same disk. Providers pull.
 *
 * I1: a row (non-zero segment) is in exactly one state; it leaves IN_FLIGHT only by `done`, `settle`,
 *     or a call that says what it lacks.
 * I2: raised rows come first, lowest priority number first, and only those of one priority at a time; then
 *     those that who asks for remote rows puts first; the others in disk order, or as that one says.
 * I3: a row waits only for rows before it on the disk (a duplicate follows its first block), so waiting
 *     never goes in a circle; when the awaited row is done, the waiting one moves on.
 * I4: columns only: a state byte, a priority, three masks and two links per row.
 */

import { addRuns, runsIn } from './block-runs.ts';
import { PRIORITY, type Priority, RaisedRows } from './raised-rows.ts';
import { popcount32 } from './recipe-index.ts';
import type { RowRange } from './territory.ts';
import { BLOCKS_PER_SEGMENT } from './units.ts';

export const ROW_DONE = 1;
const READY = 2;
const WANTS_REMOTE = 3;
const IN_FLIGHT = 4;
const WAITING = 5;

const NONE = 0xffffffff;

export interface ScheduleInput {
  /** Segment of each row, ascending. */
  readonly segmentOfRow: Uint32Array;
  /** Blocks of each row that must come from a remote node. Owned by the schedule from now on. */
  readonly remoteMasks: Uint16Array;
  /** Blocks of each row that repeat an earlier block of this disk. Owned by the schedule from now on. */
  readonly selfMasks: Uint16Array;
  /** Row that holds the first copy of a repeated block. */
  readonly firstRowOf: (row: number, bit: number) => number;
  /** One byte per row, shared with workers that ask which rows are ROW_DONE. */
  readonly states: Uint8Array;
}

/** A piece of work for a remote source. */
export interface RemoteBatch {
  readonly rows: Uint32Array;
  /** [startBlock, blockCount] pairs, ascending, exactly the wanted blocks. */
  readonly runs: Uint32Array;
  readonly blockCount: number;
}

export interface RemoteBatchLimits {
  readonly blocksMax: number;
  readonly runsMax: number;
  /** Whether the asking source may be given this row. */
  readonly accepts: (row: number) => boolean;
  /** Rows to look at before all that are not raised, in this order. */
  readonly first?: Uint32Array | undefined;
  /** Which rows to look at, in this order, in place of all in disk order. One batch is from one range. */
  readonly order?: readonly RowRange[] | undefined;
  /** Nothing but rows of this priority, or before it. */
  readonly upTo?: Priority | undefined;
}

export class Schedule {
  readonly #segmentOfRow: Uint32Array;
  readonly #states: Uint8Array;
  readonly #remote: Uint16Array;
  readonly #self: Uint16Array;
  /** Blocks that already lie, unproven, in the staging file. */
  readonly #staged: Uint16Array;
  readonly #firstRowOf: (row: number, bit: number) => number;
  readonly #firstWaiter: Uint32Array;
  readonly #nextWaiter: Uint32Array;
  readonly #raised: RaisedRows;
  /** No ready row, and no row that wants remote blocks, stands before these. */
  #readyFrom = 0;
  #remoteFrom = 0;
  #left: number;
  #wantingRemote = 0;
  #remoteBlocks = 0;

  constructor(input: ScheduleInput) {
    this.#segmentOfRow = input.segmentOfRow;
    this.#states = input.states;
    this.#remote = input.remoteMasks;
    this.#self = input.selfMasks;
    this.#firstRowOf = input.firstRowOf;
    const rows = input.segmentOfRow.length;
    this.#staged = new Uint16Array(rows);
    this.#firstWaiter = new Uint32Array(rows).fill(NONE);
    this.#nextWaiter = new Uint32Array(rows).fill(NONE);
    this.#raised = new RaisedRows(rows);
    this.#left = rows;
    for (let row = 0; row < rows; row += 1) {
      if (this.#states[row] === ROW_DONE) this.#left -= 1;
    }
    for (let row = 0; row < rows; row += 1) {
      if (this.#states[row] !== ROW_DONE) this.#place(row);
    }
  }

  /** Rows that are not done. */
  get left(): number {
    return this.#left;
  }

  /** Rows that wait to be given to a remote source, and the blocks that they lack. */
  get wantingRemote(): { readonly rows: number; readonly blocks: number } {
    return { rows: this.#wantingRemote, blocks: this.#remoteBlocks };
  }

  /** Rows that somebody waits for, or will want soon. */
  get raised(): number {
    return this.#raised.size;
  }

  remoteMask(row: number): number {
    return this.#remote[row]!;
  }

  stagedMask(row: number): number {
    return this.#staged[row]!;
  }

  selfMask(row: number): number {
    return this.#self[row]!;
  }

  /** True when the row's blocks are all at hand or on this machine, and no row is awaited. */
  isReadyToAssemble(row: number): boolean {
    return this.#awaitedRow(row) < 0;
  }

  /**
   * Up to `rowsMax` rows whose blocks are all on this machine, ascending, none of less priority than `upTo`;
   * they are in flight then.
   */
  takeReady(rowsMax: number, upTo: Priority = PRIORITY.rest): Uint32Array {
    const rows: number[] = [];
    this.#takeRaised(rows, upTo, (row) => {
      if (this.#states[row] !== READY) return undefined;
      rows.push(this.#fly(row));
      return rows.length < rowsMax;
    });
    // Raised rows travel alone: somebody waits for them.
    if (rows.length > 0 || upTo !== PRIORITY.rest) return Uint32Array.from(rows).sort();
    let row = this.#readyFrom;
    for (; row < this.#states.length && rows.length < rowsMax; row += 1) {
      if (this.#states[row] === READY) rows.push(this.#fly(row));
    }
    this.#readyFrom = row;
    return Uint32Array.from(rows);
  }

  /** A batch of rows for one remote source; undefined when there is none for it. */
  takeRemote(limits: RemoteBatchLimits): RemoteBatch | undefined {
    const rows: number[] = [];
    let [blocks, runs] = [0, 0];
    const offer: Offer = (row) => {
      if (this.#states[row] !== WANTS_REMOTE || !limits.accepts(row)) return undefined;
      const mask = this.#remote[row]!;
      const [more, moreRuns] = [popcount32(mask), runsIn(mask)];
      if (rows.length > 0 && blocks + more > limits.blocksMax) return false;
      if (runs + BLOCKS_PER_SEGMENT / 2 > limits.runsMax) return false;
      blocks += more;
      runs += moreRuns;
      rows.push(this.#fly(row));
      return blocks < limits.blocksMax;
    };
    const upTo = limits.upTo ?? PRIORITY.rest;
    this.#takeRaised(rows, upTo, offer);
    // Raised rows travel alone.
    const isRest = upTo === PRIORITY.rest;
    if (rows.length === 0 && isRest) limits.first?.every((row) => offer(row) !== false);
    if (rows.length === 0 && isRest && limits.order === undefined) this.#scanOn(offer);
    for (const range of isRest ? (limits.order ?? []) : []) {
      if (rows.length === 0) scan(range, offer);
    }
    if (rows.length === 0) return undefined;
    const sorted = Uint32Array.from(rows).sort();
    return { rows: sorted, runs: this.#runsOf(sorted), blockCount: blocks };
  }

  /** Offers all rows in disk order, and remembers before which there is nothing to offer. */
  #scanOn(offer: Offer): void {
    let skipped = false;
    let row = this.#remoteFrom;
    for (let goesOn = true; goesOn && row < this.#states.length; row += 1) {
      if (this.#states[row] !== WANTS_REMOTE) continue;
      const outcome = offer(row);
      if (outcome === undefined) {
        if (!skipped) this.#remoteFrom = row;
        skipped = true;
      } else if (!outcome) {
        goesOn = false;
        // What found no room is still to be had.
        if (this.#states[row] === WANTS_REMOTE) row -= 1;
      }
    }
    if (!skipped) this.#remoteFrom = row;
  }

  /** The row's segment is verified. Rows that waited for it move on. */
  done(row: number): void {
    this.#states[row] = ROW_DONE;
    this.#raised.drop(row);
    this.#left -= 1;
    let waiter = this.#firstWaiter[row]!;
    this.#firstWaiter[row] = NONE;
    while (waiter !== NONE) {
      const next = this.#nextWaiter[waiter]!;
      this.#place(waiter);
      waiter = next;
    }
  }

  /** Gives a row in flight back to the queue, as its masks say. */
  settle(row: number): void {
    this.#place(row);
  }

  /** Blocks of a row in flight were put into the staging file, unproven. */
  staged(row: number, mask: number): void {
    this.#staged[row]! |= mask;
    this.#remote[row]! &= ~mask;
    this.#self[row]! &= ~mask;
  }

  /** Blocks of a row in flight turned out to be nowhere on this machine (or not to be believed). */
  lacks(row: number, mask: number): void {
    this.#remote[row]! |= mask;
    this.#staged[row]! &= ~mask;
    this.#self[row]! &= ~mask;
  }

  /** Blocks of a row in flight will be copied from the first copy on this disk once that is verified. */
  repeats(row: number, mask: number): void {
    this.#self[row]! |= mask;
    this.#staged[row]! &= ~mask;
  }

  /** Moves a row, and the rows that it waits for, ahead of all with a greater priority number. */
  raise(row: number, priority: Priority): void {
    for (let at = row; at >= 0 && this.#states[at] !== ROW_DONE; at = this.#awaitedRow(at)) {
      this.#raised.push(at, priority);
    }
  }

  /** How urgent a row is. */
  priorityOf(row: number): Priority {
    return this.#raised.priorityOf(row);
  }

  /** The first row, before this one, that must be done first; -1 when none. */
  #awaitedRow(row: number): number {
    for (let mask = this.#self[row]!; mask !== 0; mask &= mask - 1) {
      const first = this.#firstRowOf(row, 31 - Math.clz32(mask & -mask));
      if (first !== row && this.#states[first] !== ROW_DONE) return first;
    }
    return -1;
  }

  /** Offers raised rows, until some of one priority were taken into `rows`. */
  #takeRaised(rows: readonly number[], upTo: Priority, offer: Offer): void {
    for (let priority = 0; priority <= upTo && rows.length === 0; priority += 1) {
      this.#raised.offer(priority as Priority, offer);
    }
  }

  #place(row: number): void {
    if (this.#remote[row] !== 0) {
      this.#states[row] = WANTS_REMOTE;
      this.#wantingRemote += 1;
      this.#remoteBlocks += popcount32(this.#remote[row]!);
      this.#remoteFrom = Math.min(this.#remoteFrom, row);
      return;
    }
    const awaited = this.#awaitedRow(row);
    if (awaited < 0) {
      this.#states[row] = READY;
      this.#readyFrom = Math.min(this.#readyFrom, row);
      return;
    }
    this.#states[row] = WAITING;
    this.#nextWaiter[row] = this.#firstWaiter[awaited]!;
    this.#firstWaiter[awaited] = row;
    // It is as urgent to have what an urgent row turned out to wait for.
    const priority = this.#raised.priorityOf(row);
    if (priority !== PRIORITY.rest) this.raise(awaited, priority);
  }

  #fly(row: number): number {
    if (this.#states[row] === WANTS_REMOTE) {
      this.#wantingRemote -= 1;
      this.#remoteBlocks -= popcount32(this.#remote[row]!);
    }
    this.#states[row] = IN_FLIGHT;
    return row;
  }

  #runsOf(rows: Uint32Array): Uint32Array {
    const runs: number[] = [];
    for (const row of rows) addRuns(runs, this.#segmentOfRow[row]!, this.#remote[row]!);
    return Uint32Array.from(runs);
  }
}

/** Takes a row if it can. Undefined: it is not for who asks; false: there is no more room. */
type Offer = (row: number) => boolean | undefined;

/** Offers the rows of a range, until there is no more room. */
function scan({ from, to, isBackward }: RowRange, offer: Offer): void {
  for (let i = 0; i < to - from; i += 1) {
    if (offer(isBackward ? to - 1 - i : from + i) === false) return;
  }
}
