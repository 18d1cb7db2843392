import { SourceHealth } from '@vmdn/core/domain/schedule-retry.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { describe, expect, it } from 'vitest';
import { REQUEST_BLOCKS_MAX, REQUEST_BLOCKS_MIN } from './limits.ts';
import { batchLimits } from './source-choice.ts';
import { SourcePace } from './source-pace.ts';
import type { RunSource, SyncRun } from './sync-run.ts';

function source(tier: RemoteSource['tier'], more: Partial<RunSource> = {}): RunSource {
  const readBlocks = () => Promise.reject(new Error('nobody asks'));
  return {
    source: { tier, name: tier, readBlocks },
    ...{ health: new SourceHealth(), pace: new SourcePace(), badRows: new Set(), isSlow: false },
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
