/**
 * Room: store, migrations. The digest of each signed description: the desired state names descriptions by
 * it instead of repeating them.
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table vm_versions add column description_digest text`.execute(db);
  await sql`update vm_versions
    set description_digest = encode(sha256(convert_to(signed_description, 'UTF8')), 'hex')`.execute(
    db,
  );
  await sql`alter table vm_versions alter column description_digest set not null`.execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  await sql`alter table vm_versions drop column description_digest`.execute(db);
}

export const descriptionDigest: Migration = { up, down };
