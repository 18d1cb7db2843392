/**
 * Room: store, migrations. What guests read when they booted, how long they waited for it, and the receipts
 * of teleports. A trace goes with its version, a receipt with its teleport.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const STATEMENTS = [
  `alter table teleports
    add column stall_seconds double precision,
    add column trace jsonb`,
  `create table boot_traces (
    vm_id uuid not null,
    version integer not null,
    trace bytea not null,
    reported_by uuid references nodes (id) on delete set null,
    recorded_at timestamptz not null default now(),
    primary key (vm_id, version),
    foreign key (vm_id, version) references vm_versions (vm_id, version) on delete cascade
  )`,
  // Keys do not compress.
  'alter table boot_traces alter column trace set storage external',
  'create index boot_traces_by_time on boot_traces (recorded_at)',
  `create table receipts (
    teleport_id uuid primary key references teleports (id) on delete cascade,
    edge_id uuid not null references nodes (id),
    receipt jsonb not null,
    jws text not null,
    received_at timestamptz not null default now()
  )`,
  'alter table nodes add column refused_receipts bigint not null default 0',
];

async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table nodes drop column refused_receipts`.execute(db);
  await sql`drop table receipts`.execute(db);
  await sql`drop table boot_traces`.execute(db);
  await sql`alter table teleports drop column stall_seconds, drop column trace`.execute(db);
}

export const bootTraces: Migration = { up, down };
