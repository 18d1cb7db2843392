/**
 * Room: store. Receipts of teleports.
 *
 * I1: a row is written once and never changed.
 */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { Db } from './database.ts';
import type { PublicKeyValue, ReceiptValue } from './schema/values.ts';

export interface ReceiptRow {
  readonly receipt: ReceiptValue;
  readonly jws: string;
  readonly edgeId: Id;
  readonly edge: Name;
  readonly publicKey: PublicKeyValue;
  readonly receivedAt: Date;
}

/** Receipts over a connection or a transaction. */
export function receiptStore(db: Db) {
  return {
    find: (project: Id, teleport: Id): Promise<ReceiptRow | undefined> =>
      db
        .selectFrom('receipts')
        .innerJoin('teleports', 'teleports.id', 'receipts.teleport_id')
        .innerJoin('nodes', 'nodes.id', 'receipts.edge_id')
        .select(['receipts.receipt', 'receipts.jws', 'receipts.received_at as receivedAt'])
        .select(['nodes.id as edgeId', 'nodes.name as edge', 'nodes.public_key as publicKey'])
        .where('teleports.project_id', '=', project)
        .where('receipts.teleport_id', '=', teleport)
        .executeTakeFirst(),

    /** Adds it unless there is one. True when it was added. */
    async add(row: {
      readonly teleport: Id;
      readonly edge: Id;
      readonly receipt: ReceiptValue;
      readonly jws: string;
    }): Promise<boolean> {
      const result = await db
        .insertInto('receipts')
        .values({
          teleport_id: row.teleport,
          edge_id: row.edge,
          receipt: JSON.stringify(row.receipt),
          jws: row.jws,
        })
        .onConflict((conflict) => conflict.column('teleport_id').doNothing())
        .executeTakeFirst();
      return result.numInsertedOrUpdatedRows === 1n;
    },
  };
}
