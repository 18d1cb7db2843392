/**
 * Room: store, migrations. Captured VMs that are forgotten, whose names are free again; captures that their
 * users ended.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table vms add column forgotten_at timestamptz`.execute(db);
  await sql`alter table vms drop constraint vms_project_id_name_key`.execute(db);
  await sql`create unique index vms_name on vms (project_id, name)
    where forgotten_at is null`.execute(db);
  await sql`create index vms_by_origin on vms (origin_id)`.execute(db);
  await sql`create index disks_by_skip_free on disks ((skip_free->>'digest'))`.execute(db);
  await sql`alter table captures drop constraint captures_state_check`.execute(db);
  await sql`alter table captures add constraint captures_state_check
    check (state in ('pending', 'running', 'done', 'failed', 'cancelled'))`.execute(db);
}

/** Fails while a name was given anew. */
async function down(db: Kysely<unknown>): Promise<void> {
  await sql`update captures set state = 'failed' where state = 'cancelled'`.execute(db);
  await sql`alter table captures drop constraint captures_state_check`.execute(db);
  await sql`alter table captures add constraint captures_state_check
    check (state in ('pending', 'running', 'done', 'failed'))`.execute(db);
  await sql`drop index disks_by_skip_free, vms_by_origin, vms_name`.execute(db);
  await sql`alter table vms add constraint vms_project_id_name_key unique (project_id, name)`.execute(
    db,
  );
  await sql`alter table vms drop column forgotten_at`.execute(db);
}

export const forgottenVms: Migration = { up, down };
