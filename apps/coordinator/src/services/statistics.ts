/**
 * Room: coordinator, services. The cache's statistics: requests by outcome and bytes by tier.
 *
 * I1: everything is computed from rows that are absolute, so a report sent twice counts once.
 * I2: a request counts once it was delivered to the end; its bytes count from the first report on.
 * I3: what crossed before anybody asked (recipes read for planning, packages, seeds) is no request's and
 *     counts apart; what a node sent is what both together received.
 */

import type { Name } from '@vmdn/core/domain/names.ts';
import {
  addTierBytes,
  type CacheOutcome,
  cacheOutcome,
  NO_TIER_BYTES,
  type TierBytes,
} from '@vmdn/core/domain/tiers.ts';
import type { AheadSum, DeliveryCount, TierSum } from '../ports.ts';
import type { ClientIdentity, Context } from './context.ts';

interface CacheRow {
  readonly requests: Readonly<Record<CacheOutcome, number>>;
  readonly diskBytes: TierBytes;
  readonly wireBytes: TierBytes;
}

const NOTHING: CacheRow = {
  requests: { hit: 0, partial: 0, miss: 0 },
  diskBytes: NO_TIER_BYTES,
  wireBytes: NO_TIER_BYTES,
};

function addSum(row: CacheRow, sum: TierSum): CacheRow {
  const only = (bytes: number): TierBytes => ({ ...NO_TIER_BYTES, [sum.tier]: bytes });
  return {
    requests: row.requests,
    diskBytes: addTierBytes(row.diskBytes, only(sum.diskBytes)),
    wireBytes: addTierBytes(row.wireBytes, only(sum.wireBytes)),
  };
}

function addCount(row: CacheRow, count: DeliveryCount): CacheRow {
  // One byte stands for any number of them: the outcome only asks whether there were some.
  const outcome = cacheOutcome({
    ...NO_TIER_BYTES,
    origin: count.fromOrigin ? 1 : 0,
    local: count.fromNear ? 1 : 0,
  });
  const requests = { ...row.requests, [outcome]: row.requests[outcome] + count.requests };
  return { ...row, requests };
}

function tabulate(
  sums: readonly TierSum[],
  counts: readonly DeliveryCount[],
  keyOf: (row: { readonly edge: Name; readonly vm: Name }) => Name,
): [Name, CacheRow][] {
  const rows = new Map<Name, CacheRow>();
  const get = (key: Name): CacheRow => rows.get(key) ?? NOTHING;
  for (const sum of sums) rows.set(keyOf(sum), addSum(get(keyOf(sum)), sum));
  for (const count of counts) rows.set(keyOf(count), addCount(get(keyOf(count)), count));
  return [...rows].sort(([left], [right]) => (left < right ? -1 : 1));
}

interface AheadRow {
  readonly recipes: TierBytes;
  readonly packages: TierBytes;
  readonly seeds: TierBytes;
}

const NOTHING_AHEAD: AheadRow = {
  recipes: NO_TIER_BYTES,
  packages: NO_TIER_BYTES,
  seeds: NO_TIER_BYTES,
};

function addAhead(row: AheadRow, { what, tier, wireBytes }: AheadSum): AheadRow {
  return { ...row, [what]: addTierBytes(row[what], { ...NO_TIER_BYTES, [tier]: wireBytes }) };
}

/** Wire bytes that crossed ahead of time: in total, and by edge in the sums' order. */
function aheadOf(sums: readonly AheadSum[]) {
  const edges = new Map<Name, AheadRow>();
  for (const sum of sums) edges.set(sum.edge, addAhead(edges.get(sum.edge) ?? NOTHING_AHEAD, sum));
  return {
    total: sums.reduce(addAhead, NOTHING_AHEAD),
    byEdge: [...edges].map(([edge, row]) => ({ edge, ...row })),
  };
}

/** Requests by outcome and bytes by tier, in total, by edge and by VM; and what crossed ahead of them. */
export async function cacheStatistics(context: Context, { project }: ClientIdentity) {
  return await context.store.transaction(async (tables) => {
    const sums = await tables.deliveries.sums(project);
    const counts = await tables.deliveries.counts(project);
    const ahead = aheadOf(await tables.ahead.sums(project));
    const total = counts.reduce(addCount, sums.reduce(addSum, NOTHING));
    const byEdge = tabulate(sums, counts, (row) => row.edge);
    const byVm = tabulate(sums, counts, (row) => row.vm);
    return {
      total,
      byEdge: byEdge.map(([edge, row]) => ({ edge, ...row })),
      byVm: byVm.map(([vm, row]) => ({ vm, ...row })),
      ahead,
    };
  });
}
