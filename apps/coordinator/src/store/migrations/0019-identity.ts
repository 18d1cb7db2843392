/**
 * Room: store, migrations. Whose identity a delivered VM has, on which networks it is, and which an edge has.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports
    add column identity text not null default 'same' check (identity in ('same', 'fresh')),
    add column hostname text,
    add column networks jsonb not null default '{}'`.execute(db);
  await sql`alter table nodes add column networks jsonb`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table nodes drop column networks`.execute(db);
  await sql`alter table teleports
    drop column identity, drop column hostname, drop column networks`.execute(db);
}

export const identity: Migration = { up, down };
