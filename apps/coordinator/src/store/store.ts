/**
 * Room: store. All tables by noun, inside and outside a transaction. Services import this file's
 * types only.
 */

import type { Kysely } from 'kysely';
import { aheadStore } from './ahead-store.ts';
import { captureStore } from './capture-store.ts';
import { clientStore } from './client-store.ts';
import { type Db, inTransaction, translateDatabaseError } from './database.ts';
import { deliveryStore } from './delivery-store.ts';
import { exportStore } from './export-store.ts';
import { imageStore } from './image-store.ts';
import { moveStore } from './move-store.ts';
import { nodeStore } from './node-store.ts';
import { orderStore } from './order-store.ts';
import { packageStore } from './package-store.ts';
import { receiptStore } from './receipt-store.ts';
import type { Schema } from './schema/schema.ts';
import { settingStore } from './setting-store.ts';
import { teleportStore } from './teleport-store.ts';
import { traceStore } from './trace-store.ts';
import { vmStore } from './vm-store.ts';
import { notify, type Topic } from './wakes.ts';

export type { Wakes } from './wakes.ts';

function tablesOver(db: Db) {
  return {
    ahead: aheadStore(db),
    captures: captureStore(db),
    clients: clientStore(db),
    deliveries: deliveryStore(db),
    exports: exportStore(db),
    images: imageStore(db),
    moves: moveStore(db),
    nodes: nodeStore(db),
    orders: orderStore(db),
    packages: packageStore(db),
    receipts: receiptStore(db),
    settings: settingStore(db),
    teleports: teleportStore(db),
    traces: traceStore(db),
    vms: vmStore(db),
    /** Wakes whoever waits for these topics when the transaction commits. */
    notify: (...topics: Topic[]): Promise<void> => notify(db, topics),
  };
}

export type Tables = ReturnType<typeof tablesOver>;

export interface Store {
  /** Runs `work` in one transaction; again when PostgreSQL asks for it, so it must be repeatable. */
  transaction<T>(work: (tables: Tables) => Promise<T>): Promise<T>;
  /** Runs single reads, each in its own. Throws `unavailable` when the database is away. */
  read<T>(work: (tables: Tables) => Promise<T>): Promise<T>;
}

/** The store over an open database. */
export function createStore(db: Kysely<Schema>): Store {
  const outside = tablesOver(db);
  return {
    transaction: (work) => inTransaction(db, (transaction) => work(tablesOver(transaction))),
    async read(work) {
      try {
        return await work(outside);
      } catch (error) {
        throw translateDatabaseError(error);
      }
    },
  };
}
