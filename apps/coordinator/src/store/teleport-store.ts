/**
 * Room: store. Teleports: one row each.
 *
 * I1: a row is changed only under its lock (`lock`), by whoever checked its epoch in that
 *     transaction.
 */

import type { DatabaseWay } from '@vmdn/core/domain/databases.ts';
import type { IdentityWay } from '@vmdn/core/domain/identity.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { NetworkMap } from '@vmdn/core/domain/networks.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import type { TeleportMethod } from '@vmdn/core/domain/skip-free.ts';
import type { TeleportState } from '@vmdn/core/domain/teleport.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import type {
  DestinationValue,
  EndpointValue,
  FunctionalCopyValue,
  PlaceValue,
  TraceUseValue,
} from './schema/values.ts';
import { leaseOf, teleportLeases } from './teleport-leases.ts';
import { teleportPower } from './teleport-power.ts';
import { teleportSums } from './teleport-sums.ts';
import { withdrawnTeleports } from './withdrawn-teleports.ts';

/** A teleport as it stands in its row, with the names that people know. */
export interface TeleportRow {
  readonly id: Id;
  readonly project: Id;
  readonly requestId: Id | null;
  readonly vmId: Id;
  readonly vm: Name;
  readonly version: number;
  readonly near: PlaceValue;
  readonly withinKm: number | null;
  readonly method: TeleportMethod;
  readonly skipFree: boolean;
  readonly lazy: boolean;
  /** The VM leaves its source (move-store.ts). */
  readonly isMove: boolean;
  readonly databases: DatabaseWay;
  readonly identity: IdentityWay;
  readonly hostname: string | null;
  readonly networks: NetworkMap;
  readonly functional: FunctionalCopyValue | null;
  readonly state: TeleportState;
  readonly epoch: number;
  readonly edgeId: Id;
  readonly edge: Name;
  readonly released: boolean;
  readonly dropSnapshot: boolean;
  /** What is wanted of the VM, and what its edge said last. */
  readonly power: Power;
  readonly actualPower: Power;
  readonly spilled: boolean;
  readonly chosen: DestinationValue;
  readonly others: readonly DestinationValue[];
  readonly endpoints: readonly EndpointValue[];
  readonly phases: Readonly<Record<string, number>>;
  readonly accelerator: 'kvm' | 'tcg' | null;
  readonly stallSeconds: number | null;
  readonly trace: TraceUseValue | null;
  readonly message: string | null;
  readonly errorCode: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly finishedAt: Date | null;
  readonly independentAt: Date | null;
}

type Requested =
  | ('project' | 'requestId' | 'version' | 'near' | 'withinKm')
  | ('method' | 'skipFree' | 'lazy' | 'databases' | 'identity' | 'hostname' | 'networks');
type Routed = 'spilled' | 'chosen' | 'others';

export interface NewTeleport extends Pick<TeleportRow, Requested | Routed> {
  readonly vm: Id;
  readonly edge: Id;
  readonly leaseSeconds: number;
}

/** A new route for a teleport: another edge, another version, or both. */
export interface Reroute {
  readonly version: number;
  readonly edge: Id;
  readonly spilled: boolean;
  readonly chosen: DestinationValue;
  readonly others: readonly DestinationValue[];
  readonly message: string;
  readonly leaseSeconds: number;
}

export interface Progress {
  readonly state: TeleportState;
  readonly final: boolean;
  /** The VM runs on complete disks. */
  readonly independent: boolean;
  readonly message: string | null;
  readonly errorCode: string | null;
  readonly endpoints: readonly EndpointValue[];
  readonly phases: Readonly<Record<string, number>> | undefined;
  readonly accelerator: 'kvm' | 'tcg' | undefined;
  readonly stallSeconds: number | undefined;
  readonly trace: TraceUseValue | undefined;
  readonly functional: FunctionalCopyValue | undefined;
  readonly leaseSeconds: number;
}

const COLUMNS = [
  'teleports.id',
  'teleports.project_id as project',
  'teleports.request_id as requestId',
  'teleports.vm_id as vmId',
  'vms.name as vm',
  'teleports.version',
  'teleports.near',
  'teleports.within_km as withinKm',
  'teleports.method',
  'teleports.skip_free as skipFree',
  'teleports.lazy',
  'teleports.databases',
  'teleports.identity',
  'teleports.hostname',
  'teleports.networks',
  'teleports.functional',
  'teleports.state',
  'teleports.epoch',
  'teleports.edge_id as edgeId',
  'nodes.name as edge',
  'teleports.released',
  'teleports.drop_snapshot as dropSnapshot',
  'teleports.power',
  'teleports.actual_power as actualPower',
  'teleports.spilled',
  'teleports.chosen',
  'teleports.others',
  'teleports.endpoints',
  'teleports.phases',
  'teleports.accelerator',
  'teleports.stall_seconds as stallSeconds',
  'teleports.trace',
  'teleports.message',
  'teleports.error_code as errorCode',
  'teleports.created_at as createdAt',
  'teleports.updated_at as updatedAt',
  'teleports.finished_at as finishedAt',
  'teleports.independent_at as independentAt',
] as const;

function rows(db: Db) {
  return db
    .selectFrom('teleports')
    .innerJoin('vms', 'vms.id', 'teleports.vm_id')
    .innerJoin('nodes', 'nodes.id', 'teleports.edge_id')
    .leftJoin('moves', 'moves.teleport_id', 'teleports.id')
    .select(COLUMNS)
    .select(sql<boolean>`moves.teleport_id is not null`.as('isMove'));
}

function teleportReads(db: Db) {
  return {
    find: (project: Id, id: Id): Promise<TeleportRow | undefined> =>
      rows(db)
        .where('teleports.project_id', '=', project)
        .where('teleports.id', '=', id)
        .executeTakeFirst(),

    findByRequest: (project: Id, requestId: Id): Promise<TeleportRow | undefined> =>
      rows(db)
        .where('teleports.project_id', '=', project)
        .where('teleports.request_id', '=', requestId)
        .executeTakeFirst(),

    /** Locks the row until the transaction ends. */
    lock: (project: Id, id: Id): Promise<TeleportRow | undefined> =>
      rows(db)
        .where('teleports.project_id', '=', project)
        .where('teleports.id', '=', id)
        .forUpdate('teleports')
        .executeTakeFirst(),

    list: (project: Id, limit: number): Promise<TeleportRow[]> =>
      rows(db)
        .where('teleports.project_id', '=', project)
        .orderBy('teleports.created_at', 'desc')
        .orderBy('teleports.id')
        .limit(limit)
        .execute(),

    /**
     * What an edge should work on, keep running, or remove; oldest first. Of a failed move it must say the
     * last.
     */
    ofEdge: (edge: Id): Promise<TeleportRow[]> =>
      rows(db)
        .where('teleports.edge_id', '=', edge)
        .where(sql<boolean>`(teleports.state <> 'failed' or moves.teleport_id is not null)`)
        .where('teleports.released', '=', false)
        .orderBy('teleports.created_at')
        .orderBy('teleports.id')
        .execute(),
  };
}

function teleportRoutes(db: Db) {
  return {
    /** One route at a time in a project: two requests must not both take an edge's last room. */
    async lockRouting(project: Id): Promise<void> {
      await sql`select pg_advisory_xact_lock(hashtextextended('vmdn-routing/' || ${project}, 0))`.execute(
        db,
      );
    },

    async add(teleport: NewTeleport): Promise<Id> {
      const row = await db
        .insertInto('teleports')
        .values({
          project_id: teleport.project,
          request_id: teleport.requestId,
          vm_id: teleport.vm,
          version: teleport.version,
          near: JSON.stringify(teleport.near),
          within_km: teleport.withinKm,
          method: teleport.method,
          skip_free: teleport.skipFree,
          lazy: teleport.lazy,
          databases: teleport.databases,
          identity: teleport.identity,
          hostname: teleport.hostname,
          networks: JSON.stringify(teleport.networks),
          state: 'routed',
          edge_id: teleport.edge,
          lease_expires_at: leaseOf(teleport.leaseSeconds),
          spilled: teleport.spilled,
          chosen: JSON.stringify(teleport.chosen),
          others: JSON.stringify(teleport.others),
        })
        .returning('id')
        .executeTakeFirstOrThrow();
      return row.id;
    },

    /** Gives a locked teleport a new route, with the next epoch. */
    async reroute(id: Id, route: Reroute): Promise<void> {
      await db
        .updateTable('teleports')
        .set((eb) => ({
          version: route.version,
          edge_id: route.edge,
          spilled: route.spilled,
          chosen: JSON.stringify(route.chosen),
          others: JSON.stringify(route.others),
          message: route.message,
          error_code: null,
          state: 'routed' as const,
          epoch: eb('epoch', '+', 1),
          endpoints: '[]',
          phases: '{}',
          accelerator: null,
          stall_seconds: null,
          trace: null,
          functional: null,
          taken_on_at: null,
          lease_expires_at: leaseOf(route.leaseSeconds),
          updated_at: sql<Date>`now()`,
        }))
        .where('id', '=', id)
        .execute();
    },
  };
}

function teleportReports(db: Db) {
  return {
    /** Takes a report on a locked teleport. */
    async progress(id: Id, report: Progress): Promise<void> {
      await db
        .updateTable('teleports')
        .set({
          state: report.state,
          message: report.message,
          error_code: report.errorCode,
          endpoints: JSON.stringify(report.endpoints),
          updated_at: sql<Date>`now()`,
          taken_on_at: sql<Date>`coalesce(taken_on_at, now())`,
          lease_expires_at: report.final ? null : leaseOf(report.leaseSeconds),
          finished_at: report.final ? sql<Date>`coalesce(finished_at, now())` : null,
        })
        .$if(report.independent, (query) =>
          query.set({ independent_at: sql<Date>`coalesce(independent_at, now())` }),
        )
        .$if(report.phases !== undefined, (query) =>
          query.set({ phases: JSON.stringify(report.phases) }),
        )
        .$if(report.functional !== undefined, (query) =>
          query.set({ functional: JSON.stringify(report.functional) }),
        )
        .$if(report.accelerator !== undefined, (query) =>
          query.set({ accelerator: report.accelerator ?? null }),
        )
        .$if(report.stallSeconds !== undefined, (query) =>
          query.set({ stall_seconds: report.stallSeconds ?? null }),
        )
        .$if(report.trace !== undefined, (query) =>
          query.set({ trace: JSON.stringify(report.trace) }),
        )
        .where('id', '=', id)
        .execute();
    },

    async cancel(id: Id, message: string, dropSnapshot: boolean): Promise<void> {
      await db
        .updateTable('teleports')
        .set({
          state: 'cancelled',
          drop_snapshot: dropSnapshot,
          message,
          error_code: 'cancelled',
          endpoints: '[]',
          lease_expires_at: null,
          updated_at: sql<Date>`now()`,
          finished_at: sql<Date>`coalesce(finished_at, now())`,
        })
        .where('id', '=', id)
        .execute();
    },

    /** The edge removed what a cancelled teleport left there. */
    async release(id: Id, message: string | null): Promise<void> {
      await db
        .updateTable('teleports')
        .set({ released: true, updated_at: sql<Date>`now()` })
        .$if(message !== null, (query) => query.set({ message }))
        .where('id', '=', id)
        .execute();
    },

    /** True when it was not said before. */
    async explain(id: Id, message: string | null, code: string | null): Promise<boolean> {
      const result = await db
        .updateTable('teleports')
        .set({ message, error_code: code, updated_at: sql<Date>`now()` })
        .where('id', '=', id)
        .where(
          sql<boolean>`(message, error_code) is distinct from (${message}::text, ${code}::text)`,
        )
        .executeTakeFirst();
      return result.numUpdatedRows > 0n;
    },
  };
}

/** Teleports over a connection or a transaction. */
export function teleportStore(db: Db) {
  return {
    ...teleportReads(db),
    ...teleportRoutes(db),
    ...teleportReports(db),
    ...teleportPower(db),
    ...teleportLeases(db),
    ...teleportSums(db),
    ...withdrawnTeleports(db),
  };
}
