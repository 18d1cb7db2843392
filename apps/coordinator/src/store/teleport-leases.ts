/** Room: store. Leases of teleports: times of the database's clock until which their edges hold them. */

import type { Id } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import { RECONCILED_MAX } from '../limits.ts';
import type { Db } from './database.ts';

/** The end of a lease that begins now. */
export function leaseOf(seconds: number) {
  return sql<Date>`now() + make_interval(secs => ${seconds})`;
}

export function teleportLeases(db: Db) {
  return {
    /** The edge was heard of: its leases go on. */
    async renewLeases(edge: Id, leaseSeconds: number): Promise<void> {
      await db
        .updateTable('teleports')
        .set({ lease_expires_at: leaseOf(leaseSeconds) })
        .where('edge_id', '=', edge)
        .where('lease_expires_at', 'is not', null)
        .execute();
    },

    /** All leases that end earlier than so long from now end then, also those that have run out. */
    async extendLeases(seconds: number): Promise<void> {
      await db
        .updateTable('teleports')
        .set({ lease_expires_at: leaseOf(seconds) })
        .where('lease_expires_at', '<', leaseOf(seconds))
        .execute();
    },

    /** Teleports whose edge let the lease run out. */
    expired: (): Promise<{ id: Id; project: Id }[]> =>
      db
        .selectFrom('teleports')
        .select(['id', 'project_id as project'])
        .where('lease_expires_at', '<', sql<Date>`now()`)
        .orderBy('lease_expires_at')
        .limit(RECONCILED_MAX)
        .execute(),

    async isExpired(id: Id): Promise<boolean> {
      const row = await db
        .selectFrom('teleports')
        .select('id')
        .where('id', '=', id)
        .where('lease_expires_at', '<', sql<Date>`now()`)
        .executeTakeFirst();
      return row !== undefined;
    },
  };
}
