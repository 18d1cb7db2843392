/** Room: store, migrations. Delivered VMs that are stopped and started, and captured with what they wrote. */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table teleports
    add column power text not null default 'on' check (power in ('on', 'off')),
    add column actual_power text not null default 'on' check (actual_power in ('on', 'off'))`.execute(
    db,
  );
  await sql`create table captures (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    teleport_id uuid not null references teleports (id) on delete cascade,
    edge_id uuid not null references nodes (id) on delete cascade,
    vm text not null,
    version int not null check (version > 0),
    keep_stopped boolean not null,
    state text not null default 'pending'
      check (state in ('pending', 'running', 'done', 'failed')),
    message text,
    error_code text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  )`.execute(db);
  // One at a time of a VM, and one at a time under a name.
  await sql`create unique index captures_open on captures (teleport_id)
    where state in ('pending', 'running')`.execute(db);
  await sql`create unique index captures_open_name on captures (project_id, vm)
    where state in ('pending', 'running')`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop table captures`.execute(db);
  await sql`alter table teleports drop column power, drop column actual_power`.execute(db);
}

export const captures: Migration = { up, down };
