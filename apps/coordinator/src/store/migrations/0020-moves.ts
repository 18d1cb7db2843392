/**
 * Room: store, migrations. Moves: teleports that keep their VM's source from starting, and how that stands.
 * At most one move of a VM is under way or stands.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table moves (
    teleport_id uuid primary key references teleports (id) on delete cascade,
    vm_id uuid not null references vms (id) on delete cascade,
    fence text not null default 'idle'
      check (fence in ('idle', 'wanted', 'held', 'unwanted', 'over', 'forced')),
    epoch integer,
    granted_epoch integer,
    problem text,
    fenced_at timestamptz,
    created_at timestamptz not null default now(),
    check (fence <> 'held' or epoch is not null)
  )`.execute(db);
  await sql`create unique index moves_one on moves (vm_id)
    where fence not in ('over', 'forced')`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop table moves`.execute(db);
}

export const moves: Migration = { up, down };
