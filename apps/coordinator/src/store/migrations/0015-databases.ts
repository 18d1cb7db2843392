/**
 * Room: store, migrations. How the databases of a functional copy come; what was said of copies before
 * names none.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports
    add column databases text not null default 'files' check (databases in ('files', 'dump'))`.execute(
    db,
  );
  await sql`update teleports set functional = functional || '{"databases": []}'
    where functional is not null`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`update teleports set functional = functional - 'databases'
    where functional is not null`.execute(db);
  await sql`alter table teleports drop column databases`.execute(db);
}

export const databases: Migration = { up, down };
