/**
 * Room: store. Brings the schema up to date.
 *
 * I1: coordinators that start at once do it one after the other (kysely holds an advisory lock in
 *     the migration's transaction), and a migration is whole or not at all.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Kysely } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import * as initial from './migrations/0001-initial.ts';
import type { Schema } from './schema/schema.ts';

const MIGRATIONS: Readonly<Record<string, Migration>> = { '0001-initial': initial };

/** Applies what is missing. Throws `incompatible_protocol` when the database is newer than this code. */
export async function migrate(db: Kysely<Schema>): Promise<readonly string[]> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => ({ ...MIGRATIONS }) },
    allowUnorderedMigrations: false,
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return (results ?? []).map((result) => result.migrationName);
  if (error instanceof Error && error.message.includes('corrupted migrations')) {
    throw new VmdnError(
      'incompatible_protocol',
      'The database was made by a newer coordinator; upgrade this one.',
      { cause: error },
    );
  }
  throw error;
}
