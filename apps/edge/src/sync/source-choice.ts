/**
 * Room: edge, sync. Which remote source may be asked for which row, and for how much at once.
 *
 * I1: an origin is asked only for what no healthy, quick peer holds: its uplink is what the network is
 *     there to spare.
 * I2: a source that sent a wrong block of a row is asked for that row again only when nobody else can be.
 * I3: whoever is away is probed with little, so that little waits for it.
 * I4: an origin that helps slow peers takes little at a time: whether they are slow, and whether it brings
 *     more, is seen again before the next request.
 */

import { hasBit } from '@vmdn/core/domain/bitmap.ts';
import { MAX_RUNS_PER_REQUEST } from '@vmdn/core/domain/limits.ts';
import type { RemoteBatchLimits } from '@vmdn/core/domain/schedule.ts';
import { REQUEST_BLOCKS_MAX, REQUEST_BLOCKS_MIN } from './limits.ts';
import type { RunSource, SyncRun } from './sync-run.ts';

/** What a lane of `lane` may take now. */
export function batchLimits(run: SyncRun, lane: RunSource): RemoteBatchLimits {
  const others = run.sources.filter((other) => other !== lane && !other.health.isAside);
  const peers = others.filter(({ source, health }) => source.tier === 'peer' && !health.isAway);
  const quickPeers = peers.filter(({ isSlow }) => !isSlow);
  const isOrigin = lane.source.tier === 'origin';
  const isLastResort = isOrigin && quickPeers.length > 0;
  const isHelper = isOrigin && quickPeers.length < peers.length;
  return {
    blocksMax:
      isHelper || lane.health.isAway
        ? REQUEST_BLOCKS_MIN
        : blocksMax(run, isLastResort ? 0 : others.length),
    runsMax: MAX_RUNS_PER_REQUEST,
    accepts: (row) => {
      const segment = run.index.segmentOfRow[row]!;
      const has = (one: RunSource): boolean =>
        one.source.presentSegments === undefined || hasBit(one.source.presentSegments, segment);
      const isBetter = (other: RunSource): boolean => has(other) && !other.badRows.has(row);
      if (!has(lane)) return false;
      if (isLastResort && quickPeers.some(isBetter)) return false;
      return !lane.badRows.has(row) || !others.some(isBetter);
    },
  };
}

function blocksMax(run: SyncRun, others: number): number {
  // A source on its own gets few large requests; several share what is left, so that all end together.
  if (others === 0) return REQUEST_BLOCKS_MAX;
  const share = Math.ceil(run.schedule.wantingRemote.blocks / (2 * (others + 1)));
  return Math.min(REQUEST_BLOCKS_MAX, Math.max(REQUEST_BLOCKS_MIN, share));
}
