/**
 * Room: edge, sync. One disk being synced: the queue, the workers' jobs, the books. Remote lanes
 * (remote-lane.ts) and the local pump pull from the queue; every result comes back here.
 *
 * I1: a row is done only when a worker verified it; it is committed after that, data before bit.
 * I2: a shortage goes back into the queue with what it lacks; the run fails only when nothing is in
 *     flight, nothing is ready and no source might answer, or have more soon.
 * I3: after a failure no new work begins, what is in flight ends, and what is verified is committed.
 * I4: a run on demand works on what somebody reads, or soon will, and on nothing else; it is over when it is
 *     called off, and that is no failure.
 */

import { tierCode } from '@vmdn/core/domain/bitmap.ts';
import { BusyClock } from '@vmdn/core/domain/busy-clock.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { TRACE_BLOCKS_MAX } from '@vmdn/core/domain/limits.ts';
import { type DiskPlan, indexOf, keyOf, planMasks } from '@vmdn/core/domain/plan.ts';
import { PRIORITY, type Priority } from '@vmdn/core/domain/raised-rows.ts';
import { scatteredFirst } from '@vmdn/core/domain/read-order.ts';
import type { RecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { Schedule } from '@vmdn/core/domain/schedule.ts';
import type { Tier } from '@vmdn/core/domain/tiers.ts';
import { BLOCKS_PER_SEGMENT } from '@vmdn/core/domain/units.ts';
import {
  type AssembleResult,
  type AssemblySession,
  NO_SLOT,
  type RowWork,
} from '@vmdn/core/io/ports/disk-assembly.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import type { ArrivedRow } from './batch-receiver.ts';
import { Committer } from './committer.ts';
import { DeliveryLedger } from './delivery-ledger.ts';
import { LOCAL_ROWS, NEWS_MS_MAX, SOURCES_MAX } from './limits.ts';
import { noSourceError } from './no-source.ts';
import { recover } from './recovery.ts';
import { type RunSource, runSource } from './run-source.ts';
import type { SlotArena } from './slot-arena.ts';
import { isAdvancing } from './source-choice.ts';
import type { SyncRunOptions } from './sync-run-options.ts';
import { WireNotes } from './wire-notes.ts';

export type { RunSource } from './run-source.ts';

export class SyncRun {
  readonly plan: DiskPlan;
  readonly index: RecipeIndex;
  readonly arena: SlotArena;
  readonly ledger: DeliveryLedger;
  readonly sources: RunSource[];
  readonly controller = new AbortController();
  /** Aborted when the run is over, well or not: for whoever only accompanies it. */
  readonly over = new AbortController();
  readonly place: number | undefined;
  readonly remoteClock = new BusyClock();
  /** Rows that come before the rest: what is most likely read, where somebody reads the disk. */
  readFirst: Uint32Array = new Uint32Array();
  readonly #options: SyncRunOptions;
  readonly #session: AssemblySession;
  readonly #committer: Committer;
  readonly #notes: WireNotes;
  /** Number of the request that last brought blocks of a row; 0 = none. */
  readonly #requestOfRow: Uint32Array;
  /** Source of each request, by number. */
  readonly #sourceOfRequest: RunSource[] = [];
  #schedule: Schedule | undefined;
  #localJobs = 0;
  #jobs = 0;
  #activeLanes = 0;
  #failure: unknown;
  #isChecked = false;
  #isWorking = false;
  #wake: (() => void)[] = [];
  #lanes: (source: RunSource) => Promise<void>[] = () => [];
  readonly #running: Promise<void>[] = [];

  constructor(options: SyncRunOptions, session: AssemblySession) {
    this.plan = options.plan;
    this.index = indexOf(options.plan);
    this.arena = options.arena;
    this.place = options.place;
    this.#options = options;
    this.#session = session;
    const { staging, records } = options;
    this.ledger = new DeliveryLedger(this.plan, this.index, records, staging.wireBytes);
    this.#requestOfRow = new Uint32Array(this.index.segmentOfRow.length);
    this.sources = options.sources.map(runSource);
    const wireBytes = (): number[] => this.ledger.wireBytes();
    const onError = (error: unknown): void => this.fail(error);
    this.#committer = new Committer({ staging, records, wireBytes, onError });
    this.#notes = new WireNotes({ staging, wireBytes, onError });
  }

  get schedule(): Schedule {
    return this.#schedule!;
  }

  /** Somebody reads the disk meanwhile. */
  get isRead(): boolean {
    return this.#options.onThere !== undefined;
  }

  /** Rows that somebody waits for, or will: they go ahead of what is less urgent. */
  want(rows: readonly number[], priority: Priority): void {
    if (this.isOver) return;
    for (const row of rows) this.schedule.raise(row, priority);
    // Before that nobody is there who could be stuck (I2).
    if (this.#isWorking) this.changed();
  }

  /** Blocks that no source was asked for yet. */
  get blocksToAskFor(): number {
    return this.#schedule?.wantingRemote.blocks ?? 0;
  }

  get isOver(): boolean {
    const isEnough = this.#options.onDemandUntil?.aborted === true;
    return this.#failure !== undefined || this.#schedule?.left === 0 || isEnough;
  }

  /** The least priority that is worked on (I4). */
  get upTo(): Priority {
    return this.#options.onDemandUntil === undefined ? PRIORITY.rest : PRIORITY.bootTrace;
  }

  /** Everything that the staging area holds was looked at: it may be closed as clean. */
  get isChecked(): boolean {
    return this.#isChecked;
  }

  get lastRequest(): number {
    return this.#sourceOfRequest.length;
  }

  /** Takes over what the staging area holds, after checking it where there is doubt. */
  async recover(): Promise<void> {
    const { staging, states, records } = this.#options;
    await recover({
      plan: this.plan,
      index: this.index,
      session: this.#session,
      condition: staging.condition,
      states,
      records,
      remoteTier: this.#remoteTier(),
      isOver: () => this.#failure !== undefined,
      onRow: (row) => this.ledger.delivered(row),
      onNews: (row, isThere) => this.#committer.add(row, isThere ? this.ledger.rowBytes(row) : 0),
    });
    if (this.#failure !== undefined) throw this.#failure;
    this.#isChecked = true;
    const { remote, self } = planMasks(this.plan);
    const { segmentOfRow } = this.index;
    if (this.isRead) {
      const { blockMasks } = this.plan.wanted;
      const lacking = { segmentOfRow, blockMasks, remoteMasks: remote };
      this.readFirst = scatteredFirst(lacking, TRACE_BLOCKS_MAX);
    }
    this.#schedule = new Schedule({
      segmentOfRow,
      remoteMasks: remote,
      selfMasks: self,
      firstRowOf: (row, bit) => this.#firstRowOf(row, bit),
      states,
    });
  }

  /** Works until every row is done; `lanes` are the remote providers. Throws the first failure. */
  async work(lanes: (source: RunSource) => Promise<void>[]): Promise<void> {
    this.#lanes = lanes;
    this.#isWorking = true;
    for (const source of this.sources) this.#start(source);
    this.changed();
    while (!this.isOver || this.#jobs > 0 || this.#activeLanes > 0) await this.#change();
    this.over.abort();
    await Promise.allSettled(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** One more source for what is left. */
  add(source: RemoteSource): void {
    const isKnown = this.sources.some((known) => known.source.name === source.name);
    if (isKnown || this.isOver || this.sources.length >= SOURCES_MAX) return;
    const added = runSource(source);
    this.sources.push(added);
    this.#start(added);
    this.changed();
  }

  /** A task beside the lanes, that ends when `over` says so. What it throws ends the run. */
  accompany(task: Promise<void>): void {
    this.#running.push(task.catch((error: unknown) => this.fail(error)));
  }

  #start(source: RunSource): void {
    for (const lane of this.#lanes(source)) {
      this.#activeLanes += 1;
      const ended = lane.finally(() => {
        this.#activeLanes -= 1;
        this.changed();
      });
      this.accompany(ended);
    }
  }

  /** Makes durable what is verified. */
  flush(): Promise<void> {
    return this.#committer.flush();
  }

  /** Nothing is written to the staging area by itself any more. */
  async stop(): Promise<void> {
    await this.#committer.stop();
    await this.#notes.stop();
  }

  /** Counts bytes that crossed the network. */
  crossed(tier: Tier, bytes: number): void {
    this.ledger.crossed(tier, bytes);
    this.#notes.counted(bytes);
  }

  /** What a source must be kept waiting for: memory, or the note of what crossed; undefined = nothing. */
  room(): Promise<void> | undefined {
    return this.arena.isCrowded ? this.arena.room() : this.#notes.room();
  }

  /** Ends the run with an error; the first one counts. */
  fail(error: unknown): void {
    this.#failure ??= error ?? new VmdnError('internal', 'A sync failed without saying why.');
    this.controller.abort(this.#failure);
    this.over.abort();
    this.changed();
  }

  /** Wakes whoever waits; starts local work; finds out when nothing can go on. */
  changed(): void {
    this.#pump();
    this.#options.onChange();
    for (const wake of this.#wake.splice(0)) wake();
    queueMicrotask(() => this.#failIfStuck());
  }

  /** For a lane that found nothing to do: waits until something changed. */
  async waitForWork(): Promise<void> {
    this.#activeLanes -= 1;
    queueMicrotask(() => this.#failIfStuck());
    await new Promise<void>((resolve) => {
      this.#wake.push(() => {
        this.#activeLanes += 1;
        resolve();
      });
    });
  }

  /** Numbers a request that begins now. */
  beginRequest(source: RunSource): number {
    this.#sourceOfRequest.push(source);
    return this.#sourceOfRequest.length;
  }

  /** Rows whose remote blocks have all come are handed to a worker, or put aside in the staging file. */
  arrived(rows: readonly ArrivedRow[], request: number, tier: Tier): void {
    const ready: RowWork[] = [];
    for (const { row, slot, fresh } of rows) {
      this.#requestOfRow[row] = request;
      const work = { ...this.#work(row), slot, fresh, tier: tierCode(tier) };
      if (this.schedule.isReadyToAssemble(row)) ready.push(work);
      else this.#stage(work);
    }
    if (ready.length > 0) this.#assemble(ready, true);
  }

  /** A row of which only some blocks have come is put aside; it goes back for the others. */
  arrivedInPart({ row, slot, fresh }: ArrivedRow, request: number, tier: Tier): void {
    this.#requestOfRow[row] = request;
    this.#stage({ ...this.#work(row), slot, fresh, tier: tierCode(tier) });
  }

  /** Rows of a failed request go back into the queue. */
  giveBack(rows: Uint32Array): void {
    for (const row of rows) this.schedule.settle(row);
  }

  /** Where the blocks that the plan fetches come from as far as one can tell beforehand. */
  #remoteTier(): Tier {
    const tiers = this.sources.map(({ source }) => source.tier);
    return tiers.includes('origin') ? 'origin' : (tiers[0] ?? 'origin');
  }

  #firstRowOf(row: number, bit: number): number {
    const key = keyOf(this.index, this.plan.wanted.blockMasks[row]!, row, bit);
    return this.index.rowOf(this.plan.firstBlockOf[key]! >>> 4);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #work(row: number): RowWork {
    const { schedule } = this;
    const staged = schedule.stagedMask(row);
    return { row, slot: NO_SLOT, fresh: 0, staged, self: schedule.selfMask(row), tier: 0 };
  }

  /** While the link is in use one core is left to it: what it brings is what takes longest. */
  get #localJobsMax(): number {
    const { width } = this.#session;
    return this.remoteClock.isBusy ? Math.max(1, width - 1) : width;
  }

  #pump(): void {
    while (!this.isOver && this.#schedule !== undefined && this.#localJobs < this.#localJobsMax) {
      const rows = this.schedule.takeReady(LOCAL_ROWS, this.upTo);
      if (rows.length === 0) return;
      this.#localJobs += 1;
      const work = Array.from(rows, (row) => this.#work(row));
      const isUrgent = this.schedule.priorityOf(rows[0]!) === PRIORITY.guestRead;
      this.#assemble(work, isUrgent, () => {
        this.#localJobs -= 1;
      });
    }
  }

  #assemble(rows: readonly RowWork[], isUrgent: boolean, ended?: () => void): void {
    this.#run(async () => {
      try {
        this.#settle(await this.#session.assemble(rows, isUrgent));
      } finally {
        for (const { slot } of rows) if (slot !== NO_SLOT) this.arena.release(slot);
      }
    }, ended);
  }

  #stage(work: RowWork): void {
    this.#run(async () => {
      try {
        await this.#session.stage(work);
      } finally {
        this.arena.release(work.slot);
      }
      this.schedule.staged(work.row, work.fresh);
      this.schedule.settle(work.row);
    });
  }

  #run(job: () => Promise<void>, ended: () => void = () => {}): void {
    this.#jobs += 1;
    job()
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#jobs -= 1;
        ended();
        this.changed();
      });
  }

  #settle(result: AssembleResult): void {
    for (const row of result.verified) {
      this.schedule.done(row);
      this.#options.onThere?.(row);
      this.ledger.delivered(row);
      this.#committer.add(row, this.ledger.rowBytes(row));
    }
    for (const { image, block, reason } of result.mismatches) {
      const row = this.index.rowOf(Math.floor(block / BLOCKS_PER_SEGMENT));
      const remote = this.#sourceOfRequest[this.#requestOfRow[row]! - 1];
      const local = this.plan.images[image]?.digest;
      const name = image === -1 ? remote?.source.name : local;
      this.ledger.mismatched(name ?? 'staging', reason, block);
    }
    for (const shortage of result.shortages) {
      if (shortage.isRemoteAtFault) this.#blame(shortage.row);
      this.schedule.staged(shortage.row, shortage.staged);
      this.schedule.lacks(shortage.row, shortage.lacks);
      this.schedule.repeats(shortage.row, shortage.repeats);
      this.schedule.settle(shortage.row);
    }
  }

  #blame(row: number): void {
    const request = this.#requestOfRow[row]!;
    const source = this.#sourceOfRequest[request - 1];
    if (source === undefined) return;
    source.badRows.add(row);
    source.source.note?.('corrupt');
    source.health.strike({ request, lastRequest: this.lastRequest });
  }

  /** I2: nothing in flight, nothing ready, nobody to ask. */
  #failIfStuck(): void {
    if (this.isOver || this.#schedule === undefined) return;
    if (this.#jobs > 0 || this.#activeLanes > 0) return;
    if (this.upTo !== PRIORITY.rest && this.schedule.raised === 0) return;
    if (this.sources.some((source) => isAdvancing(source, NEWS_MS_MAX))) return;
    this.fail(noSourceError(this.sources, this.schedule.wantingRemote));
  }
}
