/**
 * Room: edge, sync. Syncs one disk into a staging directory: opens it, takes over what is there, works
 * the queue off, and leaves a verified, durable disk.
 *
 * I1: the result's bytes by tier add up to the virtual size, unless only a part was asked for.
 * I2: whatever happens, what was verified is committed if the store can still be written, and the next
 *     sync into the same directory goes on from there.
 */

import { copyShared, shared } from '@vmdn/core/domain/columns.ts';
import type { ErrorCode } from '@vmdn/core/domain/errors.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import { PRIORITY } from '@vmdn/core/domain/raised-rows.ts';
import { type Tier, totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Assembler, StagingArea, StagingAreas } from '@vmdn/core/io/ports/disk-assembly.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import type { DiskDelivery, Mismatch, SyncProgress } from './delivery-ledger.ts';
import type { LazyDisk } from './lazy-disk.ts';
import { openLazyStage } from './lazy-stage.ts';
import { BUFFER_BYTES, LAZY_REQUESTS, REQUESTS_IN_FLIGHT, SOURCES_MAX } from './limits.ts';
import { type MakingDisk, makingDisk } from './making-disk.ts';
import { followPresence, followSources } from './presence.ts';
import { ProgressReporter } from './progress-reporter.ts';
import { runLane } from './remote-lane.ts';
import { SlotArena } from './slot-arena.ts';
import { SyncRun } from './sync-run.ts';

export type { DiskDelivery, Mismatch, SyncProgress } from './delivery-ledger.ts';

/** Every source is away; the sync goes on by itself when one is back. */
export interface Waiting {
  readonly message: string;
  readonly sources: readonly { readonly name: string; readonly code: ErrorCode }[];
  readonly retryInMs: number;
}

export interface SyncRequest {
  readonly plan: DiskPlan;
  /** A directory of its own, made when missing. */
  readonly stagingDir: string;
  readonly sources: readonly RemoteSource[];
  readonly signal: AbortSignal;
  /** What crossed the network for this disk before its first block, its recipe: counted with its blocks. */
  readonly crossedBefore?: readonly { readonly tier: Tier; readonly wireBytes: number }[];
  /** Holders as of now, those that came since the beginning among them; asked again and again. */
  readonly latestSources?: (() => readonly RemoteSource[]) | undefined;
  /** Where on the disk to begin asking origins (domain/territory.ts); absent = in disk order. */
  readonly place?: number | undefined;
  /** Somebody reads the disk while it is made. */
  readonly reading?: LazyReading | undefined;
  /**
   * Brings only what is read, and what will be soon, until this is aborted; the disk may be incomplete then.
   * Absent: all of it.
   */
  readonly onDemandUntil?: AbortSignal | undefined;
  /** At most four times a second, and once at the end. */
  readonly onProgress?: (progress: SyncProgress) => void;
  /** With null when the sync goes on. */
  readonly onWaiting?: (waiting: Waiting | null) => void;
}

export interface LazyReading {
  readonly disk: LazyDisk;
  /** Segments to bring before the rest, in this order: what a boot reads. */
  readonly bootTrace?: readonly number[];
}

export interface SyncResult {
  /** Verified and durable, as far as it was asked for. */
  readonly path: string;
  readonly recipePath: string;
  readonly delivery: DiskDelivery;
  /** What did not count, by source and reason: the sources to look at. */
  readonly mismatches: readonly Mismatch[];
  readonly seconds: number;
  /** While a request was under way that this edge did not keep waiting. */
  readonly remoteSeconds: number;
  /** Of the disk, verified in this sync: not what an earlier one had left. */
  readonly verifiedBytes: number;
}

export interface SyncMeans {
  readonly assembler: Assembler;
  readonly stagingAreas: StagingAreas;
  readonly bufferBytes?: number | undefined;
  /** For tests: how long a request may stand still. */
  readonly stallMs?: number | undefined;
  /** Told of the disk once others may read what it has; what it returns is called when that is over. */
  readonly onMaking?: ((disk: MakingDisk) => () => void) | undefined;
}

/**
 * Syncs the planned disk. Throws `cancelled`, `disk_full`, `withdrawn`, `corrupt`, or the code for which
 * the last source was set aside; what is verified stays in the staging directory.
 */
export async function syncDisk(means: SyncMeans, request: SyncRequest): Promise<SyncResult> {
  if (request.sources.length > SOURCES_MAX) {
    throw new VmdnError('too_large', `A sync takes at most ${SOURCES_MAX} sources.`);
  }
  const startedMs = performance.now();
  throwIfCancelled(request.signal);
  const staging = await means.stagingAreas.open(request.stagingDir, request.plan);
  let isClean = false;
  try {
    const outcome = await syncInto(staging, means, request);
    isClean = outcome.isClean;
    if (outcome.error !== undefined) throw outcome.error;
    return {
      path: staging.path,
      recipePath: staging.recipePath,
      delivery: outcome.delivery,
      mismatches: outcome.mismatches,
      remoteSeconds: outcome.remoteSeconds,
      verifiedBytes: outcome.verifiedBytes,
      seconds: (performance.now() - startedMs) / 1000,
    };
  } finally {
    await staging.close(isClean);
  }
}

interface Outcome {
  /** All that the staging area holds was looked at, and all that is verified is committed. */
  readonly isClean: boolean;
  readonly delivery: DiskDelivery;
  readonly mismatches: readonly Mismatch[];
  readonly remoteSeconds: number;
  readonly verifiedBytes: number;
  readonly error: unknown;
}

async function syncInto(
  staging: StagingArea,
  means: SyncMeans,
  request: SyncRequest,
): Promise<Outcome> {
  const { plan, signal, sources, place, reading, onDemandUntil } = request;
  const arena = new SlotArena(means.bufferBytes ?? BUFFER_BYTES);
  const states = shared(Uint8Array, plan.wanted.blockMasks.length);
  const records = copyShared(Uint32Array, staging.records);
  const job = { plan, staging: staging.layers, states, records, arena: arena.buffer };
  const session = await means.assembler.open(job);
  const reporter = new ProgressReporter(request);
  const onChange = (): void => reporter.changed();
  const onThere = reading && ((row: number) => reading.disk.verified(run.index.segmentOfRow[row]!));
  const about = { plan, staging, arena, states, records, sources, place };
  const run: SyncRun = new SyncRun({ ...about, onThere, onDemandUntil, onChange }, session);
  const making = makingDisk(plan, staging, states, () => run.ledger.delivery().verifiedBytes);
  reporter.follow(run);
  const cancel = (): void => run.fail(cancelled());
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  const enough = (): void => run.changed();
  onDemandUntil?.addEventListener('abort', enough, { once: true });
  try {
    const { crossedBefore = [] } = request;
    for (const { tier, wireBytes } of crossedBefore) run.ledger.crossed(tier, wireBytes);
    if (crossedBefore.length > 0) await staging.note(run.ledger.wireBytes());
    const attach = reading && (() => attachReader(run, reading, staging, states));
    return await workOff(run, reporter, { ...means, ...request, making, attach });
  } finally {
    signal.removeEventListener('abort', cancel);
    onDemandUntil?.removeEventListener('abort', enough);
    await run.stop();
    await session.close();
    reporter.end();
  }
}

async function workOff(
  run: SyncRun,
  reporter: ProgressReporter,
  options: Pick<SyncMeans, 'stallMs' | 'onMaking'> &
    Pick<SyncRequest, 'latestSources'> & {
      readonly making: MakingDisk;
      readonly attach: (() => Promise<void>) | undefined;
    },
): Promise<Outcome> {
  const { stallMs, onMaking, latestSources, making, attach } = options;
  const lane = { run, stallMs, onAvailability: (): void => reporter.availability() };
  const outcome = (error?: unknown, isClean = true): Outcome => ({
    isClean: run.isChecked && isClean,
    delivery: run.ledger.delivery(),
    mismatches: run.ledger.mismatches(),
    remoteSeconds: run.remoteClock.seconds(performance.now()),
    verifiedBytes: run.ledger.delivery().verifiedBytes - verifiedBefore,
    error,
  });
  let isFlushed = false;
  let verifiedBefore = 0;
  let ended: (() => void) | undefined;
  try {
    await run.recover();
    verifiedBefore = run.ledger.delivery().verifiedBytes;
    ended = onMaking?.(making);
    await attach?.();
    if (latestSources !== undefined) run.accompany(followSources(run, latestSources));
    await run.work((source) => {
      if (source.source.refresh !== undefined) run.accompany(followPresence(source, lane));
      const lanes = source.source.requestsInFlight ?? REQUESTS_IN_FLIGHT;
      const lazyLanes = run.isRead ? LAZY_REQUESTS : 0;
      return Array.from({ length: lanes + lazyLanes }, (_, i) =>
        runLane(source, { ...lane, isForReads: i >= lanes }),
      );
    });
    await run.flush();
    isFlushed = true;
    if (run.schedule.left === 0) checkSum(run.ledger.delivery());
    return outcome();
  } catch (error) {
    // The store may be full or broken: then what was committed before is what is kept.
    if (!isFlushed) isFlushed = await run.flush().then(...toBoolean);
    return outcome(error, isFlushed);
  } finally {
    ended?.();
  }
}

/** From here on what is read is asked for; what a boot will read comes behind it. */
async function attachReader(
  run: SyncRun,
  { disk, bootTrace = [] }: LazyReading,
  staging: StagingArea,
  states: Uint8Array,
): Promise<void> {
  const stage = await openLazyStage(run, staging, states);
  disk.attach(stage);
  stage.want(bootTrace, PRIORITY.bootTrace);
}

const toBoolean = [() => true, () => false] as const;

function checkSum(delivery: DiskDelivery): void {
  const { diskBytes, verifiedBytes, virtualSizeBytes } = delivery;
  if (totalTierBytes(diskBytes) === virtualSizeBytes && verifiedBytes === virtualSizeBytes) return;
  throw new VmdnError('internal', 'The delivered bytes do not add up to the disk.', {
    data: { ...delivery },
  });
}

function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled();
}

function cancelled(): VmdnError {
  return new VmdnError('cancelled', 'The sync was cancelled; what is verified is kept.');
}
