/**
 * Room: store, migrations. What a functional copy of a version would cost on an edge, beside its plan.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table scores add column functional jsonb`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table scores drop column functional`.execute(db);
}

export const functionalCost: Migration = { up, down };
