/** Room: store, migrations. The code of the error that an import failed with, beside its words. */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table imports add column error_code text`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table imports drop column error_code`.execute(db);
}

export const importErrors: Migration = { up, down };
