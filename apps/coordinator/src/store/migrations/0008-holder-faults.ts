/** Room: store, migrations. What a node found wrong with other holders, as it last counted. */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table nodes add column holder_faults jsonb not null default '[]'`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table nodes drop column holder_faults`.execute(db);
}

export const holderFaults: Migration = { up, down };
