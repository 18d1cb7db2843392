/**
 * Room: store, migrations. Teleports by a functional copy: the method, and what the edge said of the copy.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports
    drop constraint teleports_method_check,
    add constraint teleports_method_check check (method in ('exact', 'functional')),
    add column functional jsonb`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`update teleports set method = 'exact' where method = 'functional'`.execute(db);
  await sql`alter table teleports
    drop column functional,
    drop constraint teleports_method_check,
    add constraint teleports_method_check check (method in ('exact'))`.execute(db);
}

export const functional: Migration = { up, down };
