/** Room: store. Captures of delivered VMs: desired state that edges work off. */

import type { CaptureState } from '@vmdn/core/domain/capture.ts';
import type { VersionState } from '@vmdn/core/domain/description.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

interface CaptureWish {
  readonly teleport: Id;
  readonly vm: Name;
  readonly version: number;
  readonly keepStopped: boolean;
}

interface CaptureProgress {
  readonly state: CaptureState;
  readonly message: string | null;
  readonly errorCode: string | null;
}

export interface CaptureRow extends CaptureWish, CaptureProgress {
  readonly id: Id;
  readonly edge: Name;
  readonly createdAt: Date;
}

/** A version that an edge captured. */
export interface CapturedState {
  readonly vm: Name;
  readonly version: number;
  readonly state: VersionState;
}

const OPEN = ['pending', 'running'] as const;

function rows(db: Db) {
  return db
    .selectFrom('captures')
    .innerJoin('nodes', 'nodes.id', 'captures.edge_id')
    .select(['captures.id', 'captures.teleport_id as teleport', 'nodes.name as edge'])
    .select(['captures.vm', 'captures.version', 'captures.keep_stopped as keepStopped'])
    .select(['captures.state', 'captures.message', 'captures.error_code as errorCode'])
    .select('captures.created_at as createdAt');
}

/** Captures over a connection or a transaction. */
export function captureStore(db: Db) {
  const openOf = (project: Id) =>
    rows(db).where('captures.project_id', '=', project).where('captures.state', 'in', OPEN);
  return {
    async add(order: CaptureWish & { readonly project: Id; readonly edge: Id }): Promise<Id> {
      const { project, edge, teleport, vm, version, keepStopped } = order;
      const row = await db
        .insertInto('captures')
        .values({
          ...{ project_id: project, edge_id: edge, teleport_id: teleport },
          ...{ vm, version, keep_stopped: keepStopped },
        })
        .returning('id')
        .executeTakeFirstOrThrow();
      return row.id;
    },

    find: (project: Id, id: Id): Promise<CaptureRow | undefined> =>
      rows(db)
        .where('captures.project_id', '=', project)
        .where('captures.id', '=', id)
        .executeTakeFirst(),

    open: (edge: Id): Promise<CaptureRow[]> =>
      rows(db)
        .where('captures.edge_id', '=', edge)
        .where('captures.state', 'in', OPEN)
        .orderBy('captures.created_at')
        .orderBy('captures.id')
        .execute(),

    /** A capture that is not over, of this VM or under this name. */
    openFor: (project: Id, teleport: Id, vm: Name): Promise<CaptureRow | undefined> =>
      openOf(project)
        .where((eb) => eb.or([eb('teleport_id', '=', teleport), eb('captures.vm', '=', vm)]))
        .executeTakeFirst(),

    /** The capture of this VM that is not over, locked until the transaction ends. */
    lockOpen: (project: Id, teleport: Id): Promise<CaptureRow | undefined> =>
      openOf(project)
        .where('captures.teleport_id', '=', teleport)
        .forUpdate('captures')
        .executeTakeFirst(),

    /** The capture that is not over and becomes a version of this VM. */
    openAs: (project: Id, vm: Name): Promise<CaptureRow | undefined> =>
      openOf(project).where('captures.vm', '=', vm).executeTakeFirst(),

    /** An edge's capture, locked until the transaction ends. */
    lock: (edge: Id, id: Id): Promise<CaptureRow | undefined> =>
      rows(db)
        .where('captures.edge_id', '=', edge)
        .where('captures.id', '=', id)
        .forUpdate('captures')
        .executeTakeFirst(),

    async put(id: Id, { errorCode, ...columns }: CaptureProgress): Promise<void> {
      await db
        .updateTable('captures')
        .set({ ...columns, error_code: errorCode, updated_at: sql<Date>`now()` })
        .where('id', '=', id)
        .execute();
    },

    /**
     * What this edge captured can be had exactly while it holds all of its disks: sets the states of its
     * versions, and returns those that changed.
     */
    async settleStates(edge: Id): Promise<readonly CapturedState[]> {
      const { rows: changed } = await sql<CapturedState>`
        with settled as (
          select v.vm_id, v.version, vms.name, case when exists (
            select from disks d where d.vm_id = v.vm_id and d.version = v.version and not exists (
              select from holdings h where h.node_id = ${edge} and h.digest = d.digest)
          ) then 'withdrawn' else 'pinned' end as state
          from vm_versions v join vms on vms.id = v.vm_id
          where vms.origin_id = ${edge} and vms.forgotten_at is null)
        update vm_versions v set state = settled.state from settled
        where v.vm_id = settled.vm_id and v.version = settled.version and v.state != settled.state
        returning settled.name as vm, v.version, v.state`.execute(db);
      return changed;
    },
  };
}
