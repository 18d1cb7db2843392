/**
 * Room: edge, sync. One lane of a remote source: pulls a batch, asks for it, takes what comes; a source
 * has several lanes, so that one request streams while the next one starts.
 *
 * I1: whatever a request brought before it failed is kept, to the block; only what did not come goes back.
 *     So a source whose answers always end early is of use all the same.
 * I2: a source that is away is probed by one lane at a time, for ever; a source that is set aside is not
 *     asked again in this run.
 * I3: every wire byte is counted once, also those of requests that failed.
 */

import { type ErrorCode, isVmdnError } from '@vmdn/core/domain/errors.ts';
import { PRIORITY } from '@vmdn/core/domain/raised-rows.ts';
import type { RemoteBatch } from '@vmdn/core/domain/schedule.ts';
import { type ArrivedRow, BatchReceiver } from './batch-receiver.ts';
import { PEER_STALL_MS, STALL_MS } from './limits.ts';
import { sleep } from './sleep.ts';
import { batchLimits } from './source-choice.ts';
import { needsHelp } from './source-pace.ts';
import type { RunSource, SyncRun } from './sync-run.ts';
import { Watchdog } from './watchdog.ts';

export interface LaneOptions {
  readonly run: SyncRun;
  /** Sources were found away, or came back. */
  readonly onAvailability: () => void;
  readonly stallMs?: number | undefined;
  /** The lane brings nothing but what somebody waits for. It leaves it to others to find out who is back. */
  readonly isForReads?: boolean | undefined;
}

/** Runs until the disk is done, the run failed, or the source is set aside. */
export async function runLane(lane: RunSource, options: LaneOptions): Promise<void> {
  const { run, isForReads = false } = options;
  const { health } = lane;
  const upTo = isForReads ? PRIORITY.guestRead : run.upTo;
  while (!run.isOver && !health.isAside) {
    if (health.isAway) {
      if (health.isProbed || isForReads) {
        await run.waitForWork();
        continue;
      }
      health.isProbed = true;
      await sleep(health.retryAtMs - Date.now(), run.controller.signal);
    }
    const limits = { ...batchLimits(run, lane), upTo };
    const batch = run.isOver ? undefined : run.schedule.takeRemote(limits);
    if (batch === undefined) {
      if (!isForReads) health.isProbed = false;
      if (!run.isOver) await run.waitForWork();
      continue;
    }
    try {
      await fetchBatch(lane, batch, options);
    } finally {
      health.isProbed = false;
      options.onAvailability();
      run.changed();
    }
  }
}

async function fetchBatch(
  lane: RunSource,
  batch: RemoteBatch,
  options: LaneOptions,
): Promise<void> {
  const { run } = options;
  const { health } = lane;
  const request = run.beginRequest(lane);
  const watchdog = new Watchdog(stallMsOf(lane, options), run.controller.signal);
  const intake = new Intake(lane, batch, request, options, watchdog);
  run.remoteClock.enter(performance.now());
  lane.pace.enter();
  try {
    const { wireBytes } = await watchdog.guard((signal) => intake.ask(signal));
    intake.countUpTo(wireBytes);
    intake.receiver.end();
    health.answered();
  } catch (error) {
    if (isVmdnError(error)) intake.countUpTo(Number(error.data.wireBytes ?? 0));
    if (!run.controller.signal.aborted) {
      const at = { request, lastRequest: run.lastRequest };
      health.failed(codeOf(error), at, Date.now(), Math.random());
      lane.lastError = error;
    }
  } finally {
    run.remoteClock.leave(performance.now());
    lane.pace.leave();
    watchdog.stop();
    const { part, missing } = intake.receiver.abandon();
    if (part !== undefined) run.arrivedInPart(part, request, lane.source.tier);
    run.giveBack(missing);
  }
}

/** How long a request may stand still. */
export function stallMsOf(lane: RunSource, { run, stallMs }: LaneOptions): number {
  if (stallMs !== undefined) return stallMs;
  const isOther = (one: RunSource): boolean =>
    one !== lane && !one.health.isAside && !one.health.isAway;
  const isSpare = lane.source.tier === 'peer' && run.sources.some(isOther);
  return isSpare ? PEER_STALL_MS : STALL_MS;
}

/** What comes in for one request. */
class Intake {
  readonly receiver: BatchReceiver;
  readonly #lane: RunSource;
  readonly #batch: RemoteBatch;
  readonly #request: number;
  readonly #options: LaneOptions;
  readonly #watchdog: Watchdog;
  #arrived: ArrivedRow[] = [];
  #wireBytes = 0;

  constructor(
    lane: RunSource,
    batch: RemoteBatch,
    request: number,
    options: LaneOptions,
    watchdog: Watchdog,
  ) {
    this.#lane = lane;
    this.#batch = batch;
    this.#request = request;
    this.#options = options;
    this.#watchdog = watchdog;
    const { run } = options;
    this.receiver = new BatchReceiver({
      batch,
      index: run.index,
      virtualSizeBytes: run.plan.wanted.virtualSizeBytes,
      arena: run.arena,
      wantedMask: (row) => run.schedule.remoteMask(row),
      onRow: (row) => this.#arrived.push(row),
    });
  }

  ask(signal: AbortSignal): Promise<{ readonly wireBytes: number }> {
    return this.#lane.source.readBlocks({
      runs: this.#batch.runs,
      signal,
      onWireBytes: (bytes) => {
        this.#watchdog.touch();
        this.countUpTo(this.#wireBytes + bytes);
        this.#lane.pace.came(0);
        judgeSpeed(this.#options.run, this.#lane);
      },
      onBlocks: (startBlock, blockCount, bytes) => {
        signal.throwIfAborted();
        this.#watchdog.touch();
        return this.#take(startBlock, blockCount, bytes);
      },
    });
  }

  /** Counts the request's wire bytes up to a total, each once (I3). */
  countUpTo(totalBytes: number): void {
    if (!Number.isSafeInteger(totalBytes) || totalBytes <= this.#wireBytes) return;
    const { run } = this.#options;
    run.crossed(this.#lane.source.tier, totalBytes - this.#wireBytes);
    this.#wireBytes = totalBytes;
  }

  /** Keeps the source waiting: its silence is ours. */
  async #pause(room: Promise<void>): Promise<void> {
    const { remoteClock } = this.#options.run;
    const { pace } = this.#lane;
    remoteClock.leave(performance.now());
    pace.leave();
    try {
      await this.#watchdog.pause(room);
    } finally {
      remoteClock.enter(performance.now());
      pace.enter();
    }
  }

  #take(startBlock: number, blockCount: number, bytes: Uint8Array): Promise<void> | undefined {
    const { run, onAvailability } = this.#options;
    const { health, pace, source } = this.#lane;
    pace.came(bytes.length);
    try {
      this.receiver.take(startBlock, blockCount, bytes);
    } finally {
      const rows = this.#arrived;
      this.#arrived = [];
      if (rows.length > 0) run.arrived(rows, this.#request, source.tier);
    }
    if (health.isAway) {
      health.answered();
      onAvailability();
      run.changed();
    }
    const room = run.room();
    return room === undefined ? undefined : this.#pause(room);
  }
}

/** Notes whether a peer is so slow that origins should help; others are told when that changes. */
function judgeSpeed(run: SyncRun, lane: RunSource): void {
  if (lane.source.tier !== 'peer') return;
  const origins = run.sources.filter(({ source, health }) => {
    return source.tier === 'origin' && !health.isAside && !health.isAway;
  });
  const isSlow = needsHelp(
    lane.pace,
    origins.map(({ pace }) => pace),
  );
  if (isSlow === lane.isSlow) return;
  lane.isSlow = isSlow;
  if (isSlow) lane.source.note?.('slow');
  run.changed();
}

/** An error that is not ours comes from an adapter that did not translate it: that source is set aside. */
export function codeOf(error: unknown): ErrorCode {
  if (!isVmdnError(error)) return 'internal';
  return error.code === 'too_large' ? 'corrupt' : error.code;
}
