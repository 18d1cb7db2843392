/** Room: store, migrations. Exports of delivered VMs into folders of their edges. */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table exports (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    teleport_id uuid not null references teleports (id) on delete cascade,
    edge_id uuid not null references nodes (id) on delete cascade,
    name text not null,
    format text not null check (format in ('qcow2', 'raw', 'vmdk')),
    hypervisor text not null check (hypervisor in ('kvm', 'xen', 'vmware')),
    state text not null default 'pending'
      check (state in ('pending', 'running', 'done', 'failed')),
    message text,
    error_code text,
    folder text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  )`.execute(db);
  await sql`create index exports_open on exports (edge_id)
    where state in ('pending', 'running')`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop table exports`.execute(db);
}

export const vmExports: Migration = { up, down };
