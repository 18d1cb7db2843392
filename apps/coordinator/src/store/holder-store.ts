/**
 * Room: store. Which nodes can give a disk: those that hold it, and those that hold a part of it because they
 * are making it.
 *
 * I1: a node that holds a disk is no partial holder of it, whatever it says.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import { isHealthy } from './node-store.ts';

export interface HolderRow {
  readonly digest: Digest;
  readonly node: Id;
  readonly name: Name;
  readonly kind: 'origin' | 'edge';
  readonly url: string;
  readonly latitude: number | null;
  readonly longitude: number | null;
  /** It has not all of the disk yet. */
  readonly partial: boolean;
}

/** A disk that a node is making. */
export interface DiskInMaking {
  readonly digest: Digest;
  readonly verifiedBytes: number;
}

export function holderStore(db: Db) {
  return {
    /** Healthy nodes that hold any of these disks, wholly or in part. */
    async holders(
      project: Id,
      digests: readonly Digest[],
      silenceSeconds: number,
    ): Promise<HolderRow[]> {
      const wanted = sql`project_id = ${project} and digest = any(${digests as Digest[]})`;
      const { rows } = await sql<HolderRow>`
        select held.digest, nodes.id as node, nodes.name, nodes.kind, nodes.url, nodes.latitude,
          nodes.longitude, held.partial
        from (
          select node_id, digest, false as partial from holdings where ${wanted}
          union all
          select node_id, digest, true from partial_holdings where ${wanted}
            and (node_id, digest) not in (select node_id, digest from holdings where ${wanted})
        ) held join nodes on nodes.id = held.node_id
        where ${isHealthy(silenceSeconds)}
        order by nodes.name`.execute(db);
      return rows;
    },

    /**
     * Sets what a node is making, of the disks that are known; true when these are others than before: how
     * far they are is no news.
     */
    async replaceMaking(node: Id, project: Id, making: readonly DiskInMaking[]): Promise<boolean> {
      const rows = sql`jsonb_to_recordset(${JSON.stringify(making)}::jsonb)
        as disk("digest" text, "verifiedBytes" bigint)`;
      const gone = await sql`delete from partial_holdings where node_id = ${node}
        and digest not in (select digest from ${rows})`.execute(db);
      const put = await sql<{ isNew: boolean }>`
        insert into partial_holdings (node_id, project_id, digest, verified_bytes)
        select distinct on (digest) ${node}::uuid, ${project}::uuid, digest, "verifiedBytes"
        from ${rows} join images using (digest) where images.project_id = ${project}
        order by digest
        on conflict (node_id, digest) do update set verified_bytes = excluded.verified_bytes
        returning xmax = 0 as "isNew"`.execute(db);
      return (gone.numAffectedRows ?? 0n) > 0n || put.rows.some(({ isNew }) => isNew);
    },
  };
}
