/**
 * Room: store, migrations. Teleports whose VM runs before its disk is there, and since when a VM needs nobody
 * any more. Of those that run already the disk was complete before they did.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports
    add column lazy boolean not null default false,
    add column independent_at timestamptz`.execute(db);
  await sql`update teleports set independent_at = finished_at where state = 'running'`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports drop column lazy, drop column independent_at`.execute(db);
}

export const lazy: Migration = { up, down };
