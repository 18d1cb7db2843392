/**
 * Room: store. What teleports come to by edge: the room that they will still take, and how many VMs run.
 */

import type { Id } from '@vmdn/core/domain/names.ts';
import { OVERLAY_HEADROOM_BYTES } from '@vmdn/core/domain/overlay-room.ts';
import type { Room } from '@vmdn/core/domain/routing.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

const UNFINISHED = ['routed', 'syncing', 'waiting', 'verified', 'booting'] as const;

export function teleportSums(db: Db) {
  return {
    /**
     * What unfinished teleports will still take of each edge's room: all, until the edge has beaten since
     * it took the teleport on (what it says is free leaves that out from then on), and after that the
     * disks that it has not begun with.
     */
    async promised(project: Id, except: Id | null): Promise<ReadonlyMap<Id, Room>> {
      const { rows: found } = await sql<{ edge: Id } & Room>`
        with unfinished as (
          select t.id, t.epoch, t.vm_id, t.version, t.skip_free, t.edge_id,
            t.taken_on_at is not null and nodes.last_seen_at > t.taken_on_at as counted
          from teleports t join nodes on nodes.id = t.edge_id
          where t.project_id = ${project} and t.state = any(${[...UNFINISHED]})
            and t.id is distinct from ${except}
        )
        select u.edge_id as edge,
          sum((select coalesce(sum(d.non_zero_bytes), 0) from wanted_disks d
            where d.vm_id = u.vm_id and d.version = u.version and d.skip_free = u.skip_free
              and not exists (select from holdings h
                where h.node_id = u.edge_id and h.digest = d.digest)
              and not (u.counted and exists (select from delivered_disks dd
                where dd.teleport_id = u.id and dd.epoch = u.epoch and dd.digest = d.digest))
          ) + case when u.counted then 0 else ${OVERLAY_HEADROOM_BYTES}::bigint * (select count(*)
            from disks d where d.vm_id = u.vm_id and d.version = u.version) end)::bigint as "storeBytes",
          coalesce(sum((v.description->'hardware'->>'memoryMiB')::int)
            filter (where not u.counted), 0)::bigint as "memoryMiB",
          coalesce(sum((v.description->'hardware'->>'vcpus')::int)
            filter (where not u.counted), 0)::bigint as "vcpus"
        from unfinished u
        join vm_versions v on v.vm_id = u.vm_id and v.version = u.version
        group by u.edge_id`.execute(db);
      return new Map(found.map(({ edge, ...room }) => [edge, room]));
    },

    /** VMs that were delivered and are on, as their edges said last. */
    async runningByEdge(project: Id): Promise<ReadonlyMap<Id, number>> {
      const found = await db
        .selectFrom('teleports')
        .select(['edge_id', db.fn.countAll<number>().as('running')])
        .where('project_id', '=', project)
        .where('state', '=', 'running')
        .where('actual_power', '=', 'on')
        .groupBy('edge_id')
        .execute();
      return new Map(found.map((row) => [row.edge_id, row.running]));
    },
  };
}
