/** Room: store, migrations. What the plan of a disk said, beside what was delivered of it. */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table delivered_disks
    add column planned jsonb, add column seconds double precision`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table delivered_disks drop column planned, drop column seconds`.execute(db);
}

export const plannedDeliveries: Migration = { up, down };
