/** Room: store. Whether delivered VMs should be on, and whether they are. */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

export function teleportPower(db: Db) {
  return {
    /** What is wanted of a locked teleport's VM. */
    async setPower(id: Id, power: Power): Promise<void> {
      const changes = { power, updated_at: sql<Date>`now()` };
      await db.updateTable('teleports').set(changes).where('id', '=', id).execute();
    },

    /** What its edge said. */
    async notePower(id: Id, power: Power): Promise<void> {
      const changes = { actual_power: power };
      await db.updateTable('teleports').set(changes).where('id', '=', id).execute();
    },
  };
}
