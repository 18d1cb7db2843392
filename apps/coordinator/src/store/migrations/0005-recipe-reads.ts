/**
 * Room: store, migrations. Recipes that edges read ahead of any request: each reading once, under the number
 * that the edge gave it.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table recipe_reads (
    edge_id uuid not null references nodes (id) on delete cascade,
    read_id uuid not null,
    digest text not null,
    tier text not null check (tier in ('package', 'peer', 'origin')),
    wire_bytes bigint not null check (wire_bytes >= 0),
    reported_at timestamptz not null default now(),
    primary key (edge_id, read_id)
  )`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop table recipe_reads`.execute(db);
}

export const recipeReads: Migration = { up, down };
