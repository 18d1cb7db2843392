/**
 * Room: store. What crossed the network before anybody asked: recipes read for planning, packages
 * brought, and seeding.
 *
 * I1: a reading counts once, however often it is reported: its row is keyed by the edge and the edge's own
 *     number for it. A seed's delivery is absolute, one for each order and edge.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { Tier } from '@vmdn/core/domain/tiers.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

/** One reading of a recipe, or of a package from a mirror. */
export interface ReadAhead {
  readonly read: Id;
  readonly digest: Digest;
  readonly tier: Tier;
  readonly wireBytes: number;
}

/** Bytes of one tier that crossed to an edge ahead of time. */
export interface AheadSum {
  readonly edge: Name;
  readonly what: 'recipes' | 'packages' | 'seeds';
  readonly tier: Tier;
  readonly wireBytes: number;
}

export function aheadStore(db: Db) {
  return {
    async putReads(edge: Id, reads: readonly ReadAhead[]): Promise<void> {
      if (reads.length === 0) return;
      await db
        .insertInto('recipe_reads')
        .values(
          reads.map(({ read, digest, tier, wireBytes }) => ({
            ...{ edge_id: edge, read_id: read, digest, tier },
            wire_bytes: wireBytes,
          })),
        )
        .onConflict((conflict) => conflict.columns(['edge_id', 'read_id']).doNothing())
        .execute();
    },

    sums: async (project: Id): Promise<AheadSum[]> => {
      const { rows } = await sql<AheadSum>`
        select nodes.name as edge, ahead.what, ahead.tier,
          sum(ahead.wire_bytes)::bigint as "wireBytes"
        from (
          select edge_id, case tier when 'package' then 'packages' else 'recipes' end as what,
            tier, wire_bytes from recipe_reads
          union all
          select edge_id, 'seeds', tiers.key, tiers.value::bigint
          from seed_edges, jsonb_each_text(seed_edges.delivery -> 'wireBytes') tiers
          where jsonb_typeof(seed_edges.delivery) = 'object'
        ) ahead
        join nodes on nodes.id = ahead.edge_id
        where nodes.project_id = ${project}
        group by nodes.name, ahead.what, ahead.tier
        order by nodes.name`.execute(db);
      return rows;
    },
  };
}
