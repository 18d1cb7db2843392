/** Room: store, migrations. Disks that nodes hold in part, because they are making them. */

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
  await sql`create index partial_holdings_by_digest
    on partial_holdings (project_id, digest)`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop table partial_holdings`.execute(db);
}

export const partialHoldings: Migration = { up, down };
