/**
 * Room: edge, sync. Tells the caller of a sync how far it is, at most every PROGRESS_MS, and when all its
 * sources are away.
 *
 * I1: what a callback of the caller throws ends the sync as its error, in order.
 */

import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import type { DiskDelivery } from './delivery-ledger.ts';
import { Rate, type SyncProgress } from './delivery-ledger.ts';
import { PROGRESS_MS } from './limits.ts';
import type { SyncRequest } from './sync-disk.ts';
import type { SyncRun } from './sync-run.ts';

/** Failures in a row before "away" is said aloud: one lost connection is not worth a word. */
const FAILURES_UNTIL_WAITING = 2;

export class ProgressReporter {
  readonly #request: Pick<SyncRequest, 'onProgress' | 'onWaiting'>;
  #run: SyncRun | undefined;
  #wireRate: Rate | undefined;
  #diskRate: Rate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;

  constructor(request: Pick<SyncRequest, 'onProgress' | 'onWaiting'>) {
    this.#request = request;
  }

  /** Begins to report on a run. */
  follow(run: SyncRun): void {
    this.#run = run;
    const nowMs = performance.now();
    this.#wireRate = new Rate(wireTotal(run.ledger.delivery()), nowMs);
    this.#diskRate = new Rate(run.ledger.delivery().verifiedBytes, nowMs);
  }

  /** Something changed: a report follows within PROGRESS_MS. */
  changed(): void {
    if (this.#request.onProgress === undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#report();
    }, PROGRESS_MS);
  }

  /** Tells when every source that could be asked is away, and when that is over. */
  availability(): void {
    const run = this.#run;
    const { onWaiting } = this.#request;
    if (run === undefined || onWaiting === undefined || run.isOver) return;
    const usable = run.sources.filter(({ health }) => !health.isAside);
    const areAllAway =
      usable.length > 0 &&
      usable.every(({ health }) => health.isAway && health.failures >= FAILURES_UNTIL_WAITING);
    if (areAllAway) {
      this.#isWaiting = true;
      const names = usable.map(({ source }) => source.name).join(', ');
      const retryAtMs = Math.min(...usable.map(({ health }) => health.retryAtMs));
      onWaiting({
        message: `Waiting for ${names}: nothing answers there. The sync goes on by itself.`,
        sources: usable.map(({ source, health }) => ({
          name: source.name,
          code: health.awayCode ?? 'unavailable',
        })),
        retryInMs: Math.max(0, Math.round(retryAtMs - Date.now())),
      });
    } else if (this.#isWaiting && usable.some(({ health }) => !health.isAway)) {
      this.#isWaiting = false;
      onWaiting(null);
    }
  }

  /** The last report; nothing follows. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#report();
    this.#run = undefined;
  }

  #report(): void {
    const run = this.#run;
    const { onProgress } = this.#request;
    if (run === undefined || onProgress === undefined) return;
    const nowMs = performance.now();
    const delivery = run.ledger.delivery();
    const wireBytesPerSecond = this.#wireRate!.update(wireTotal(delivery), nowMs);
    const diskBytesPerSecond = this.#diskRate!.update(delivery.verifiedBytes, nowMs);
    const etaSeconds = eta(delivery, { wireBytesPerSecond, diskBytesPerSecond }, run);
    try {
      onProgress({ delivery, wireBytesPerSecond, diskBytesPerSecond, etaSeconds });
    } catch (error) {
      run.fail(error);
    }
  }
}

function wireTotal({ wireBytes }: DiskDelivery): number {
  return wireBytes.package + wireBytes.peer + wireBytes.origin;
}

/** Seconds until the end: what is to be fetched at the wire's rate, or all that is left at the disk's. */
function eta(
  delivery: DiskDelivery,
  rates: Pick<SyncProgress, 'wireBytesPerSecond' | 'diskBytesPerSecond'>,
  run: SyncRun,
): number | null {
  const leftBytes = delivery.virtualSizeBytes - delivery.verifiedBytes;
  if (leftBytes === 0) return 0;
  const fetchedBytes = delivery.diskBytes.peer + delivery.diskBytes.origin;
  const toFetchBytes = run.blocksToAskFor * BLOCK_BYTES;
  if (toFetchBytes > 0) {
    if (rates.wireBytesPerSecond < 1 || fetchedBytes === 0) return null;
    const ratio = Math.min(1, wireTotal(delivery) / fetchedBytes);
    return (toFetchBytes * ratio) / rates.wireBytesPerSecond;
  }
  return rates.diskBytesPerSecond < 1 ? null : leftBytes / rates.diskBytesPerSecond;
}
