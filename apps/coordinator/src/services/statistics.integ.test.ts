import { randomUUID } from 'node:crypto';
import { NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../testing/test-database.ts';
import {
  delivery,
  digest,
  name,
  startTestCoordinator,
  startTestVm,
  type TestCoordinator,
} from '../testing/test-network.ts';

let database: TestDatabase;
let network: TestCoordinator;

beforeAll(async () => {
  database = await startTestDatabase();
  network = await startTestCoordinator(await database.freshUrl());
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

describe('what crossed before anybody asked', () => {
  it('I1, I3: counts each reading and each seed once, by edge, and in no request', async () => {
    const { origin, edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['ashburn', 'us-east'],
    ]);
    const [dublin, ashburn] = [edges[0]!, edges[1]!];
    const read = (tier: 'package' | 'peer' | 'origin', wireBytes: number) => ({
      ...{ read: randomUUID(), digest: digest('a'), tier, wireBytes },
    });
    const tell = (from: typeof dublin, reads: ReturnType<typeof read>[]) =>
      from.client.call(node.reportReadsAhead, { body: { reads } });
    const first = [read('origin', 1000), read('peer', 30), read('package', 4000)];
    await tell(dublin, first);
    // Reported again, with one that is new; the same number at another edge is another reading.
    await tell(dublin, [...first, first[0]!, read('origin', 500)]);
    await tell(ashburn, [{ ...first[0]!, wireBytes: 7 }]);

    const image = { digest: digest('b'), keysRoot: digest('e'), name: name('base') };
    const sizes = { virtualSizeBytes: 4_194_304, nonZeroBytes: 1_048_576, allocatedBytes: 1e6 };
    await dublin.client.call(node.reportHoldings, {
      body: { images: [{ ...image, kind: 'base' as const, ...sizes }] },
    });
    const body = { image: 'base', edges: ['ashburn'] };
    const { seed } = await network.user.call(client.requestSeed, { body });
    for (const state of ['syncing', 'done'] as const) {
      await ashburn.client.call(node.reportSeed, {
        params: { seed },
        body: { state, delivery: delivery(digest('b'), { zero: 3_145_728, origin: 1_048_576 }) },
      });
    }

    const { total, ahead } = await network.user.call(client.cacheStatistics, {});
    const packages = { ...NO_TIER_BYTES, package: 4000 };
    const seeds = { ...NO_TIER_BYTES, origin: 524_288 };
    expect(total.wireBytes).toEqual(NO_TIER_BYTES);
    expect(ahead.byEdge).toEqual([
      {
        edge: 'ashburn',
        recipes: { ...NO_TIER_BYTES, origin: 7 },
        packages: NO_TIER_BYTES,
        seeds,
      },
      {
        edge: 'dublin',
        recipes: { ...NO_TIER_BYTES, peer: 30, origin: 1500 },
        packages,
        seeds: NO_TIER_BYTES,
      },
    ]);
    const recipes = { ...NO_TIER_BYTES, peer: 30, origin: 1507 };
    expect(ahead.total).toEqual({ recipes, packages, seeds });
    await expect(tell(origin, first)).rejects.toMatchObject({ code: 'forbidden' });
  });
});
