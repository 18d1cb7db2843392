/** Room: store. Exports of delivered VMs: desired state that edges work off. */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { ExportFormat, ExportState, Hypervisor } from '@vmdn/core/domain/vm-export.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

/** What is exported, and how. */
interface ExportWish {
  readonly teleport: Id;
  readonly name: Name;
  readonly format: ExportFormat;
  readonly hypervisor: Hypervisor;
}

interface ExportProgress {
  readonly state: ExportState;
  readonly message: string | null;
  readonly errorCode: string | null;
  readonly folder: string | null;
}

export interface ExportRow extends ExportWish, ExportProgress {
  readonly id: Id;
  readonly edge: Name;
  readonly createdAt: Date;
}

function rows(db: Db) {
  return db
    .selectFrom('exports')
    .innerJoin('nodes', 'nodes.id', 'exports.edge_id')
    .select(['exports.id', 'exports.teleport_id as teleport', 'nodes.name as edge'])
    .select(['exports.name', 'exports.format', 'exports.hypervisor', 'exports.state'])
    .select(['exports.message', 'exports.error_code as errorCode', 'exports.folder'])
    .select('exports.created_at as createdAt');
}

/** Exports over a connection or a transaction. */
export function exportStore(db: Db) {
  return {
    async add(order: ExportWish & { readonly project: Id; readonly edge: Id }): Promise<Id> {
      const { project, edge, teleport, ...columns } = order;
      const row = await db
        .insertInto('exports')
        .values({ project_id: project, edge_id: edge, teleport_id: teleport, ...columns })
        .returning('id')
        .executeTakeFirstOrThrow();
      return row.id;
    },

    find: (project: Id, id: Id): Promise<ExportRow | undefined> =>
      rows(db)
        .where('exports.project_id', '=', project)
        .where('exports.id', '=', id)
        .executeTakeFirst(),

    open: (edge: Id): Promise<ExportRow[]> =>
      rows(db)
        .where('exports.edge_id', '=', edge)
        .where('exports.state', 'in', ['pending', 'running'])
        .orderBy('exports.created_at')
        .orderBy('exports.id')
        .execute(),

    /** The state of an edge's export, locked until the transaction ends. */
    async lock(edge: Id, id: Id): Promise<ExportState | undefined> {
      const row = await db
        .selectFrom('exports')
        .select('state')
        .where('edge_id', '=', edge)
        .where('id', '=', id)
        .forUpdate()
        .executeTakeFirst();
      return row?.state;
    },

    async put(id: Id, { errorCode, ...columns }: ExportProgress): Promise<void> {
      await db
        .updateTable('exports')
        .set({ ...columns, error_code: errorCode, updated_at: sql<Date>`now()` })
        .where('id', '=', id)
        .execute();
    },
  };
}
