/**
 * Room: edge, sync. Which remote source may be asked for which row, and for how much at once.
 *
 * I1: an origin is asked only for what no healthy, quick peer holds: its uplink is what the network is
 *     there to spare.
 * I2: a source that sent a wrong block of a row is asked for that row again only when nobody else can be.
 * I3: whoever is away is probed with little, so that little waits for it.
 * I4: an origin that helps slow peers takes little at a time: whether they are slow, and whether it brings
 *     more, is seen again before the next request.
 * I5: beside others that make the same disk, an edge asks origins for its own part of the disk first, then
 *     for theirs; not for the last bit of it while they have news: they are about to have it. Nor while it is
 *     not known what they have by now: that would be asked for twice.
 * I6: while somebody reads the disk, every request is small: what was asked for can't be overtaken. What is
 *     most likely read comes before the rest, unless others make the disk too.
 */

import { hasBit } from '@vmdn/core/domain/bitmap.ts';
import { MAX_RUNS_PER_REQUEST } from '@vmdn/core/domain/limits.ts';
import type { RemoteBatchLimits } from '@vmdn/core/domain/schedule.ts';
import { type RowRange, territory } from '@vmdn/core/domain/territory.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import {
  ALONE_SECONDS,
  FIRST_BLOCKS,
  LAST_BLOCKS,
  LAST_NEWS_MS_MAX,
  LAZY_BLOCKS_MIN,
  LAZY_SECONDS,
  REQUEST_BLOCKS_MAX,
  REQUEST_BLOCKS_MIN,
  SEEN_MS_MAX,
  TRADE_SECONDS,
} from './limits.ts';
import type { RunSource, SyncRun } from './sync-run.ts';

/** What a lane of `lane` may take now. */
export function batchLimits(run: SyncRun, lane: RunSource): RemoteBatchLimits {
  const others = run.sources.filter((other) => other !== lane && !other.health.isAside);
  const peers = others.filter(({ source, health }) => source.tier === 'peer' && !health.isAway);
  const quickPeers = peers.filter(({ isSlow }) => !isSlow);
  const isOrigin = lane.source.tier === 'origin';
  const isLastResort = isOrigin && quickPeers.length > 0;
  const isHelper = isOrigin && quickPeers.length < peers.length;
  const traders = peers.filter(({ source }) => source.place !== undefined);
  const probeBlocks = run.isRead ? LAZY_BLOCKS_MIN : REQUEST_BLOCKS_MIN;
  return {
    blocksMax:
      isHelper || lane.health.isAway
        ? probeBlocks
        : blocksMax(run, lane, { sharers: isLastResort ? 0 : others.length, traders }),
    runsMax: MAX_RUNS_PER_REQUEST,
    // Beside others that make the disk, each has its own part.
    first: traders.length > 0 ? undefined : run.readFirst,
    order: isOrigin ? orderOf(run, traders) : undefined,
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

function blocksMax(
  run: SyncRun,
  { source, pace }: RunSource,
  others: { readonly sharers: number; readonly traders: readonly RunSource[] },
): number {
  let most = REQUEST_BLOCKS_MAX;
  const least = run.isRead ? LAZY_BLOCKS_MIN : REQUEST_BLOCKS_MIN;
  const blocksIn = (seconds: number): number =>
    Math.ceil((pace.bytesPerSecond * seconds) / BLOCK_BYTES);
  if (run.isRead) most = Math.min(most, blocksIn(LAZY_SECONDS));
  if (source.tier === 'origin' && run.place !== undefined) {
    // What was asked for can't be taken back when somebody else turns out to have it.
    const isAlone = others.traders.length === 0;
    const isUntried = pace.bytesPerSecond === 0;
    const seconds = isAlone ? ALONE_SECONDS : TRADE_SECONDS;
    most = Math.min(most, isAlone && isUntried ? FIRST_BLOCKS : blocksIn(seconds));
  }
  // A source on its own gets few large requests; several share what is left, so that all end together.
  if (others.sharers > 0) {
    const share = run.schedule.wantingRemote.blocks / (2 * (others.sharers + 1));
    most = Math.min(most, Math.ceil(share));
  }
  return Math.max(least, most);
}

/** In which order origins are asked for rows; undefined: in disk order. */
function orderOf(run: SyncRun, traders: readonly RunSource[]): readonly RowRange[] | undefined {
  if (run.place === undefined) return undefined;
  const places = traders.map(({ source }) => source.place!);
  const { own, rest } = territory(run.index.segmentOfRow.length, run.place, places);
  const areFew = run.schedule.wantingRemote.blocks <= LAST_BLOCKS;
  const coming = traders.filter((trader) => isAdvancing(trader, LAST_NEWS_MS_MAX));
  const isOutOfDate = coming.some(({ seenAtMs }) => performance.now() - seenAtMs > SEEN_MS_MAX);
  return (areFew && coming.length > 0) || isOutOfDate ? own : [...own, ...rest];
}

/** Whether a partial holder had news within so long. */
export function isAdvancing({ source, health, newsAtMs }: RunSource, withinMs: number): boolean {
  if (source.refresh === undefined || health.isAside || health.isAway) return false;
  return performance.now() - newsAtMs < withinMs;
}
