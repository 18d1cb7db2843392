/**
 * Room: store, migrations. When an edge took a teleport on: from its next beat on, the room that it says
 * is free no longer holds what the teleport takes.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports add column taken_on_at timestamptz`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports drop column taken_on_at`.execute(db);
}

export const takenOn: Migration = { up, down };
