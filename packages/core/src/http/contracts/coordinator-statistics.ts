/**
 * Room: http, contracts. What users see of the cache: requests by outcome and bytes by tier.
 */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import { name, nothing, tierBytes } from './schemas.ts';

const cacheRow = z.object({
  requests: z.object({ hit: z.number().int(), partial: z.number().int(), miss: z.number().int() }),
  diskBytes: tierBytes,
  wireBytes: tierBytes,
});

/** Wire bytes that crossed before anybody asked. */
const aheadRow = z.object({
  /** Recipes that were read for planning. */
  recipes: tierBytes,
  /** Packages that were brought for disks that somebody may ask for. */
  packages: tierBytes,
  /** Seeding orders, the recipes of their images included. */
  seeds: tierBytes,
});

export const cacheStatistics = defineOperation({
  id: 'cacheStatistics',
  method: 'get',
  path: '/v1/stats/cache',
  summary:
    'Requests by outcome and bytes by tier, in total, by edge and by VM; wire bytes ahead of any request.',
  caller: 'client',
  status: 200,
  params: nothing,
  query: nothing,
  body: nothing,
  reply: z.object({
    total: cacheRow,
    byEdge: z.array(cacheRow.extend({ edge: name })),
    byVm: z.array(cacheRow.extend({ vm: name })),
    /** In no request's bytes: what a node sent is what requests and this together received. */
    ahead: z.object({ total: aheadRow, byEdge: z.array(aheadRow.extend({ edge: name })) }),
  }),
});
