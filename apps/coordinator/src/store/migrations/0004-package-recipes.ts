/**
 * Room: store, migrations. Recipes of package images: public, of no project, and no more than hints, so
 * the least recently used ones may go at any time.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const STATEMENTS = [
  `create table package_recipes (
    unpacker integer not null check (unpacker >= 1),
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    digest text not null check (digest ~ '^[0-9a-f]{64}$'),
    keys_root text not null check (keys_root ~ '^[0-9a-f]{64}$'),
    virtual_size_bytes bigint not null,
    non_zero_bytes bigint not null,
    recipe_bytes integer not null,
    packed_bytes integer not null,
    recipe bytea not null,
    reported_by uuid references nodes (id) on delete set null,
    reported_at timestamptz not null default now(),
    used_at timestamptz not null default now(),
    primary key (unpacker, sha256)
  )`,
  // It is compressed already.
  'alter table package_recipes alter column recipe set storage external',
  'create index package_recipes_by_use on package_recipes (used_at)',
];

async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop table package_recipes`.execute(db);
}

export const packageRecipes: Migration = { up, down };
