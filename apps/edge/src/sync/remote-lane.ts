/**
 * Room: edge, sync. One lane of a remote source: pulls a batch, asks for it, takes what comes; a source
 * has several lanes, so that one request streams while the next one starts.
 *
 * I1: whatever a request brought before it failed is kept; only what did not come goes back.
 * I2: a source that is away is probed by one lane at a time, for ever; a source that is set aside is not
 *     asked again in this run.
 * I3: every wire byte is counted once, also those of requests that failed.
 */

import { type ErrorCode, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { RemoteBatch } from '@vmdn/core/domain/schedule.ts';
import { type ArrivedRow, BatchReceiver } from './batch-receiver.ts';
import { SLOW_AFTER_MS, SLOW_BYTES_PER_SECOND, STALL_MS } from './limits.ts';
import { batchLimits } from './source-choice.ts';
import type { RunSource, SyncRun } from './sync-run.ts';

export interface LaneOptions {
  readonly run: SyncRun;
  /** Sources were found away, or came back. */
  readonly onAvailability: () => void;
  readonly stallMs?: number;
}

/** Runs until the disk is done, the run failed, or the source is set aside. */
export async function runLane(lane: RunSource, options: LaneOptions): Promise<void> {
  const { run } = options;
  const { health } = lane;
  while (!run.isOver && !health.isAside) {
    if (health.isAway) {
      if (health.isProbed) {
        await run.waitForWork();
        continue;
      }
      health.isProbed = true;
      await sleep(health.retryAtMs - Date.now(), run.controller.signal);
    }
    const batch = run.isOver ? undefined : run.schedule.takeRemote(batchLimits(run, lane));
    if (batch === undefined) {
      health.isProbed = false;
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
  const { source, health } = lane;
  const request = run.beginRequest(lane);
  const watchdog = new Watchdog(options.stallMs ?? STALL_MS, run.controller.signal);
  const startedMs = performance.now();
  let counted = 0;
  const count = (bytes: number): void => {
    counted += bytes;
    run.ledger.crossed(source.tier, bytes);
  };
  let arrived: ArrivedRow[] = [];
  const receiver = new BatchReceiver({
    batch,
    index: run.index,
    virtualSizeBytes: run.plan.wanted.virtualSizeBytes,
    arena: run.arena,
    wantedMask: (row) => run.schedule.remoteMask(row),
    onRow: (row) => arrived.push(row),
  });
  const handOn = (): void => {
    if (arrived.length === 0) return;
    const rows = arrived;
    arrived = [];
    run.arrived(rows, request, source.tier);
  };
  try {
    const { wireBytes } = await watchdog.guard((signal) =>
      source.readBlocks({
        runs: batch.runs,
        signal,
        onWireBytes: (bytes) => {
          watchdog.touch();
          count(bytes);
          judgeSpeed(run, lane, counted, performance.now() - startedMs - watchdog.pausedMs);
        },
        onBlocks: (startBlock, blockCount, bytes) => {
          signal.throwIfAborted();
          watchdog.touch();
          try {
            receiver.take(startBlock, blockCount, bytes);
          } finally {
            handOn();
          }
          if (health.isAway) {
            health.answered();
            options.onAvailability();
            run.changed();
          }
          return run.arena.isCrowded ? watchdog.pause(run.arena.room()) : undefined;
        },
      }),
    );
    count(Math.max(0, wireBytes - counted));
    receiver.end();
    health.answered();
  } catch (error) {
    const told = isVmdnError(error) ? Number(error.data.wireBytes ?? 0) : 0;
    if (Number.isSafeInteger(told)) count(Math.max(0, told - counted));
    if (!run.controller.signal.aborted) {
      const at = { request, lastRequest: run.lastRequest };
      health.failed(codeOf(error), at, Date.now(), Math.random());
      lane.lastError = error;
    }
  } finally {
    watchdog.stop();
    run.giveBack(receiver.abandon());
  }
}

/** Notes whether a peer is so slow that the origin should help; others are told when that changes. */
function judgeSpeed(run: SyncRun, lane: RunSource, bytes: number, ms: number): void {
  if (ms < SLOW_AFTER_MS) return;
  const isSlow = (bytes * 1000) / ms < SLOW_BYTES_PER_SECOND;
  if (isSlow === lane.isSlow) return;
  lane.isSlow = isSlow;
  run.changed();
}

/** An error that is not ours comes from an adapter that did not translate it: that source is set aside. */
function codeOf(error: unknown): ErrorCode {
  if (!isVmdnError(error)) return 'internal';
  return error.code === 'too_large' ? 'corrupt' : error.code;
}

/** Ends a request that stands still. */
class Watchdog {
  readonly #stallMs: number;
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal;
  #timer: NodeJS.Timeout | undefined;
  #pauses = 0;
  /** How long we kept the source waiting. */
  pausedMs = 0;

  constructor(stallMs: number, signal: AbortSignal) {
    this.#stallMs = stallMs;
    this.#signal = AbortSignal.any([signal, this.#controller.signal]);
    this.touch();
  }

  /** Runs a request; a stall rejects with `timeout` even when the request ignores its signal. */
  async guard<T>(request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = this.#signal;
    signal.throwIfAborted();
    let abort = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
    });
    try {
      return await Promise.race([request(signal), aborted]);
    } catch (error) {
      // What a client throws about an abort matters less than why it was aborted.
      throw this.#controller.signal.aborted ? this.#controller.signal.reason : error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  touch(): void {
    if (this.#pauses > 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const words = 'A source stopped sending; it is asked again.';
      this.#controller.abort(new VmdnError('timeout', words));
    }, this.#stallMs);
  }

  /** Time that we keep the source waiting does not count. */
  async pause(wait: Promise<void>): Promise<void> {
    this.#pauses += 1;
    clearTimeout(this.#timer);
    const fromMs = performance.now();
    await wait;
    this.pausedMs += performance.now() - fromMs;
    this.#pauses -= 1;
    this.touch();
  }

  stop(): void {
    this.#pauses += 1;
    clearTimeout(this.#timer);
  }
}

/** Waits, at most until the signal. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= 0 || signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}
