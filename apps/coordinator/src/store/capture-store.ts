/** Room: store. Captures of delivered VMs: desired state that edges work off. */

import type { CaptureState } from '@vmdn/core/domain/capture.ts';
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
      rows(db)
        .where('captures.project_id', '=', project)
        .where('captures.state', 'in', OPEN)
        .where((eb) => eb.or([eb('teleport_id', '=', teleport), eb('captures.vm', '=', vm)]))
        .executeTakeFirst(),

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

    /** Withdraws what this edge captured and has not all disks of any more. */
    async withdrawLost(edge: Id): Promise<readonly { vm: Name; version: number }[]> {
      const { rows: lost } = await sql<{ vm: Name; version: number }>`
        update vm_versions v set state = 'withdrawn' from vms
        where vms.id = v.vm_id and vms.origin_id = ${edge} and v.state != 'withdrawn'
          and exists (select from disks d where d.vm_id = v.vm_id and d.version = v.version
            and not exists (select from holdings h where h.node_id = ${edge} and h.digest = d.digest))
        returning vms.name as vm, v.version`.execute(db);
      return lost;
    },
  };
}
