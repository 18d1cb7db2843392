/**
 * Room: edge, sync. Sources that change while a disk is made: what a partial holder has by now, and holders
 * that came since.
 *
 * I1: a partial holder is asked for what it has every PRESENCE_MS until it has all that is wanted; while it
 *     is away, when it is due (I2 of remote-lane.ts).
 * I2: what crosses for that is counted like blocks.
 */

import { hasBit } from '@vmdn/core/domain/bitmap.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { PRESENCE_MS, SOURCES_MS } from './limits.ts';
import { codeOf, type LaneOptions, stallMsOf } from './remote-lane.ts';
import { sleep } from './sleep.ts';
import type { RunSource, SyncRun } from './sync-run.ts';
import { Watchdog } from './watchdog.ts';

/** Keeps what is known of a partial holder up to date. */
export async function followPresence(lane: RunSource, options: LaneOptions): Promise<void> {
  const { run, onAvailability } = options;
  const { health, source } = lane;
  while (!run.over.signal.aborted && !health.isAside && !hasAll(run, source)) {
    await refresh(lane, options);
    onAvailability();
    run.changed();
    const awayMs = health.isAway ? health.retryAtMs - Date.now() : 0;
    await sleep(Math.max(PRESENCE_MS, awayMs), run.over.signal);
  }
}

async function refresh(lane: RunSource, options: LaneOptions): Promise<void> {
  const { run } = options;
  const { health, source } = lane;
  const watchdog = new Watchdog(stallMsOf(lane, options), run.over.signal);
  const onWireBytes = (bytes: number): void => {
    watchdog.touch();
    run.crossed(source.tier, bytes);
  };
  try {
    const ask = (signal: AbortSignal) => source.refresh!({ signal, onWireBytes });
    const isNews = await watchdog.guard(ask);
    lane.seenAtMs = performance.now();
    if (isNews) lane.newsAtMs = lane.seenAtMs;
    health.answered();
  } catch (error) {
    if (run.over.signal.aborted) return;
    const at = { request: run.lastRequest + 1, lastRequest: run.lastRequest };
    health.failed(codeOf(error), at, Date.now(), Math.random());
    lane.lastError = error;
  } finally {
    watchdog.stop();
  }
}

function hasAll({ index }: SyncRun, { presentSegments }: RemoteSource): boolean {
  if (presentSegments === undefined) return true;
  return index.segmentOfRow.every((segment) => hasBit(presentSegments, segment));
}

/** Takes up holders that came since the run began. */
export async function followSources(
  run: SyncRun,
  latest: () => readonly RemoteSource[],
): Promise<void> {
  while (!run.over.signal.aborted) {
    for (const source of latest()) run.add(source);
    await sleep(SOURCES_MS, run.over.signal);
  }
}
