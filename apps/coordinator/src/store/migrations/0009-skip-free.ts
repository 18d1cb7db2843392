/**
 * Room: store, migrations. Disks without their free space: what descriptions say of them, which teleports
 * want them, and the disks that a teleport delivers, by whether it does.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table disks add column skip_free jsonb`.execute(db);
  await sql`alter table teleports
    add column method text not null default 'exact' check (method in ('exact')),
    add column skip_free boolean not null default false`.execute(db);
  await sql`create view wanted_disks as
    select vm_id, version, position, false as skip_free, digest, virtual_size_bytes, non_zero_bytes,
      keys_root, recipe_bytes
    from disks
    union all
    select vm_id, version, position, true, coalesce(skip_free->>'digest', digest), virtual_size_bytes,
      coalesce((skip_free->>'nonZeroBytes')::bigint, non_zero_bytes),
      coalesce(skip_free->>'keysRoot', keys_root),
      coalesce((skip_free->>'recipeBytes')::bigint, recipe_bytes)
    from disks`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop view wanted_disks`.execute(db);
  await sql`alter table teleports drop column method, drop column skip_free`.execute(db);
  await sql`alter table disks drop column skip_free`.execute(db);
}

export const skipFree: Migration = { up, down };
