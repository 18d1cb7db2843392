import { SourceHealth } from '@vmdn/core/domain/schedule-retry.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { describe, expect, it } from 'vitest';
import {
  FIRST_BLOCKS,
  LAST_BLOCKS,
  LAZY_BLOCKS_MIN,
  REQUEST_BLOCKS_MAX,
  REQUEST_BLOCKS_MIN,
} from './limits.ts';
import { batchLimits, isAdvancing } from './source-choice.ts';
import { SourcePace } from './source-pace.ts';
import type { RunSource, SyncRun } from './sync-run.ts';

function source(tier: RemoteSource['tier'], more: Partial<RunSource> = {}): RunSource {
  const readBlocks = () => Promise.reject(new Error('nobody asks'));
  return {
    source: { tier, name: tier, readBlocks },
    ...{
      health: new SourceHealth(),
      pace: new SourcePace(),
      badRows: new Set(),
      isSlow: false,
      newsAtMs: 0,
      seenAtMs: performance.now(),
    },
    ...more,
  };
}

/** A run of one row for each of 100,000 segments of 16 blocks. */
function runWith(...sources: RunSource[]): SyncRun {
  const segmentOfRow = Uint32Array.from({ length: 100_000 }, (_, row) => row);
  const wantingRemote = { rows: 100_000, blocks: 1_600_000 };
  return { sources, index: { segmentOfRow }, schedule: { wantingRemote } } as unknown as SyncRun;
}

describe('an origin', () => {
  it('I1: is asked for nothing that a quick peer holds', () => {
    const [peer, origin] = [source('peer'), source('origin')];
    expect(batchLimits(runWith(peer, origin), origin).accepts(7)).toBe(false);
    peer.badRows.add(7);
    expect(batchLimits(runWith(peer, origin), origin).accepts(7)).toBe(true);
  });

  it('I4: helps a slow peer with little at a time, and with much once that peer is away', () => {
    const [peer, origin] = [source('peer', { isSlow: true }), source('origin')];
    const run = runWith(peer, origin);
    expect(batchLimits(run, origin)).toMatchObject({ blocksMax: REQUEST_BLOCKS_MIN });
    expect(batchLimits(run, origin).accepts(7)).toBe(true);
    peer.health.failed('timeout', { request: 1, lastRequest: 1 }, 0, 0);
    expect(batchLimits(run, origin)).toMatchObject({ blocksMax: REQUEST_BLOCKS_MAX });
    expect(batchLimits(run, peer)).toMatchObject({ blocksMax: REQUEST_BLOCKS_MIN });
  });
});

it('I6: a disk that is read meanwhile is asked for in small pieces, of a tenth of a second', () => {
  const origin = source('origin');
  const run = { ...runWith(origin), isRead: true } as unknown as SyncRun;
  expect(batchLimits(run, origin).blocksMax).toBe(LAZY_BLOCKS_MIN);
  origin.pace.enter(0);
  origin.pace.came(20_480_000, 1000);
  const { blocksMax } = batchLimits(run, origin);
  expect(blocksMax).toBe(Math.ceil(origin.pace.bytesPerSecond / 40_960));
  expect(blocksMax).toBeGreaterThan(LAZY_BLOCKS_MIN);
  origin.health.failed('timeout', { request: 1, lastRequest: 1 }, 0, 0);
  expect(batchLimits(run, origin).blocksMax).toBe(LAZY_BLOCKS_MIN);
});

it('I6: what is most likely read comes first, unless another edge makes the disk too', () => {
  const [origin, peer] = [source('origin'), source('peer')];
  const readFirst = Uint32Array.of(3, 1);
  const runOf = (...sources: RunSource[]) =>
    ({ ...runWith(...sources), isRead: true, readFirst }) as unknown as SyncRun;
  expect(batchLimits(runOf(origin), origin).first).toBe(readFirst);
  const trader = { ...peer, source: { ...peer.source, place: 0.5 } };
  expect(batchLimits(runOf(origin, trader), origin).first).toBeUndefined();
});

describe('beside another edge that makes the same disk', () => {
  /** Began in the middle; had news just now, or long ago. */
  const trader = (newsAtMs: number) => {
    const peer = source('peer', { newsAtMs });
    const refresh = () => Promise.resolve(false);
    const presentSegments = new Uint8Array(12_500);
    return { ...peer, source: { ...peer.source, place: 0.5, refresh, presentSegments } };
  };
  const runOf = (peer: RunSource, origin: RunSource, blocks: number): SyncRun => {
    const run = runWith(peer, origin);
    const schedule = { wantingRemote: { rows: blocks / 16, blocks } };
    return { ...run, schedule, place: 0.25 } as unknown as SyncRun;
  };
  const own = { from: 25_000, to: 50_000, isBackward: false };

  it('I5: an origin is asked for its own part first, then backward for the other’s', () => {
    const [peer, origin] = [trader(performance.now()), source('origin')];
    const limits = batchLimits(runOf(peer, origin, 1_000_000), origin);
    expect(limits.order?.[0]).toEqual(own);
    expect(limits.order).toContainEqual({ from: 0, to: 25_000, isBackward: true });
    expect(limits.blocksMax).toBe(REQUEST_BLOCKS_MIN);
    expect(batchLimits(runOf(peer, origin, 1_000_000), peer).order).toBeUndefined();
  });

  it('I5: the last blocks of the other’s part are waited for, as long as there is news', () => {
    const origin = source('origin');
    const withNews = trader(performance.now());
    expect(batchLimits(runOf(withNews, origin, LAST_BLOCKS), origin).order).toEqual([own]);
    const without = trader(performance.now() - 60_000);
    expect(batchLimits(runOf(without, origin, LAST_BLOCKS), origin).order?.length).toBe(3);
  });

  it('I5: the other’s part is left to it while it is not known what it has by now', () => {
    const origin = source('origin');
    const now = performance.now();
    const unseen = { ...trader(now - 1000), seenAtMs: now - 1000 };
    expect(batchLimits(runOf(unseen, origin, 1_000_000), origin).order).toEqual([own]);
    const gone = { ...trader(now - 60_000), seenAtMs: now - 60_000 };
    expect(batchLimits(runOf(gone, origin, 1_000_000), origin).order?.length).toBe(3);
  });

  it('an edge alone begins with more than a probe, and goes on with what comes in a second', () => {
    const origin = source('origin');
    const run = { ...runWith(origin), place: 0.25 } as unknown as SyncRun;
    expect(batchLimits(run, origin).blocksMax).toBe(FIRST_BLOCKS);
    origin.pace.enter(0);
    origin.pace.came(8_192_000, 1000);
    expect(batchLimits(run, origin).blocksMax).toBe(Math.ceil(origin.pace.bytesPerSecond / 4096));
  });

  it('is worth waiting for only while it is there and has news', () => {
    expect(isAdvancing(trader(performance.now()), 2000)).toBe(true);
    expect(isAdvancing(trader(performance.now() - 2001), 2000)).toBe(false);
    expect(isAdvancing(source('peer', { newsAtMs: performance.now() }), 2000)).toBe(false);
    const away = trader(performance.now());
    away.health.failed('timeout', { request: 1, lastRequest: 1 }, 0, 0);
    expect(isAdvancing(away, 2000)).toBe(false);
  });
});
