/**
 * Room: store, migrations. Disks that nodes hold in part, because they are making them; and what a node
 * found wrong with other holders, as it last counted.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create table partial_holdings (
    node_id uuid not null references nodes (id) on delete cascade,
    project_id uuid not null,
    digest text not null,
    verified_bytes bigint not null check (verified_bytes >= 0),
    primary key (node_id, digest),
    foreign key (project_id, digest) references images (project_id, digest)
  )`.execute(db);
  await sql`create index partial_holdings_by_digest on partial_holdings (project_id, digest)`.execute(
    db,
  );
  await sql`alter table nodes add column holder_faults jsonb not null default '[]'`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table nodes drop column holder_faults`.execute(db);
  await sql`drop table partial_holdings`.execute(db);
}

export const holders: Migration = { up, down };
