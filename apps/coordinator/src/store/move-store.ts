/**
 * Room: store. Moves: how the fence of each stands. A row is changed only under its teleport's lock.
 */

import type { FenceState } from '@vmdn/core/domain/fence.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { TeleportState } from '@vmdn/core/domain/teleport.ts';
import { sql } from 'kysely';
import { RECONCILED_MAX } from '../limits.ts';
import type { Db } from './database.ts';

export interface MoveRow {
  readonly teleport: Id;
  readonly vmId: Id;
  readonly fence: FenceState;
  readonly epoch: number | null;
  readonly grantedEpoch: number | null;
  readonly problem: string | null;
  readonly fencedAt: Date | null;
  readonly originId: Id;
  readonly origin: Name;
}

/** A move and its teleport, as its origin must know them. */
export interface WishedFence {
  readonly teleport: Id;
  readonly vm: Name;
  readonly version: number;
  readonly epoch: number;
  readonly fence: FenceState;
  readonly heldEpoch: number | null;
  readonly state: TeleportState;
  readonly independentAt: Date | null;
}

/** Of a move that counts: the VM has left its source, or is about to. */
export interface StandingMove {
  readonly teleport: Id;
  readonly vmId: Id;
  readonly edge: Name;
  readonly state: TeleportState;
}

const COUNTS = sql<boolean>`moves.fence not in ('over', 'forced')`;

function rows(db: Db) {
  return db
    .selectFrom('moves')
    .innerJoin('vms', 'vms.id', 'moves.vm_id')
    .innerJoin('nodes', 'nodes.id', 'vms.origin_id')
    .select(['moves.teleport_id as teleport', 'moves.vm_id as vmId', 'moves.fence', 'moves.epoch'])
    .select(['moves.granted_epoch as grantedEpoch', 'moves.problem', 'moves.fenced_at as fencedAt'])
    .select(['vms.origin_id as originId', 'nodes.name as origin']);
}

/** Moves over a connection or a transaction. */
export function moveStore(db: Db) {
  return {
    async add(teleport: Id, vm: Id): Promise<void> {
      await db.insertInto('moves').values({ teleport_id: teleport, vm_id: vm }).execute();
    },

    find: (teleport: Id): Promise<MoveRow | undefined> =>
      rows(db).where('moves.teleport_id', '=', teleport).executeTakeFirst(),

    of: (teleports: readonly Id[]): Promise<MoveRow[]> =>
      teleports.length === 0
        ? Promise.resolve([])
        : rows(db).where('moves.teleport_id', 'in', teleports).execute(),

    /** Moves of these VMs that count; at most one of each. */
    standing: (vms: readonly Id[]): Promise<StandingMove[]> =>
      vms.length === 0
        ? Promise.resolve([])
        : db
            .selectFrom('moves')
            .innerJoin('teleports', 'teleports.id', 'moves.teleport_id')
            .innerJoin('nodes', 'nodes.id', 'teleports.edge_id')
            .select(['moves.teleport_id as teleport', 'moves.vm_id as vmId'])
            .select(['nodes.name as edge', 'teleports.state'])
            .where('moves.vm_id', 'in', vms)
            .where(COUNTS)
            .execute(),

    async put(
      teleport: Id,
      change: {
        readonly fence: FenceState;
        readonly problem: string | null;
        readonly epoch?: number;
        readonly grantedEpoch?: number;
      },
    ): Promise<void> {
      const { fence, problem, epoch, grantedEpoch } = change;
      await db
        .updateTable('moves')
        .set({ fence, problem })
        .$if(epoch !== undefined, (query) =>
          query.set({ epoch: epoch!, fenced_at: sql<Date>`coalesce(fenced_at, now())` }),
        )
        .$if(grantedEpoch !== undefined, (query) => query.set({ granted_epoch: grantedEpoch! }))
        .where('teleport_id', '=', teleport)
        .execute();
    },

    /** What an origin should do about its sources; oldest first. */
    wishesOf: (origin: Id): Promise<WishedFence[]> =>
      db
        .selectFrom('moves')
        .innerJoin('teleports', 'teleports.id', 'moves.teleport_id')
        .innerJoin('vms', 'vms.id', 'moves.vm_id')
        .select(['moves.teleport_id as teleport', 'vms.name as vm', 'teleports.version'])
        .select(['teleports.epoch', 'moves.fence', 'moves.epoch as heldEpoch'])
        .select(['teleports.state', 'teleports.independent_at as independentAt'])
        .where('vms.origin_id', '=', origin)
        .where('moves.fence', 'in', ['wanted', 'held', 'unwanted'])
        .orderBy('moves.created_at')
        .orderBy('moves.teleport_id')
        .execute(),

    /** Moves that may not boot yet, of versions that a newer one has replaced. */
    async overtaken(): Promise<{ id: Id; project: Id }[]> {
      const found = await sql<{ id: Id; project: Id }>`
        select t.id, t.project_id as project
        from moves m join teleports t on t.id = m.teleport_id
        where t.state in ('routed', 'syncing', 'waiting', 'verified')
          and m.granted_epoch is distinct from t.epoch
          and exists (select from vm_versions v where v.vm_id = t.vm_id
            and v.version > t.version and v.state <> 'withdrawn')
        order by t.updated_at
        limit ${RECONCILED_MAX}`.execute(db);
      return found.rows;
    },
  };
}
