/**
 * Room: store, migrations. Teleports that are called off with their disks.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports add column drop_snapshot boolean not null default false`.execute(
    db,
  );
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports drop column drop_snapshot`.execute(db);
}

export const dropSnapshot: Migration = { up, down };
