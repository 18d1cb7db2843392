/**
 * Room: store. Brings the schema up to date.
 *
 * I1: coordinators that start at once do it one after the other: an advisory lock is held from before
 *     the first look to after the last statement (kysely's own begins after it made its tables).
 * I2: all migrations that are missing are one transaction: all of them or none.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Kysely, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { initial } from './migrations/0001-initial.ts';
import { takenOn } from './migrations/0002-taken-on.ts';
import { descriptionDigest } from './migrations/0003-description-digest.ts';
import { packageRecipes } from './migrations/0004-package-recipes.ts';
import { recipeReads } from './migrations/0005-recipe-reads.ts';
import { importErrors } from './migrations/0006-import-errors.ts';
import { plannedDeliveries } from './migrations/0007-planned-deliveries.ts';
import { holders } from './migrations/0008-holders.ts';
import { skipFree } from './migrations/0009-skip-free.ts';
import { lazy } from './migrations/0010-lazy.ts';
import { bootTraces } from './migrations/0011-boot-traces.ts';
import { functional } from './migrations/0012-functional.ts';
import { vmExports } from './migrations/0013-exports.ts';
import { databases } from './migrations/0015-databases.ts';
import { functionalCost } from './migrations/0017-functional-cost.ts';
import { dropSnapshot } from './migrations/0018-drop-snapshot.ts';
import { identity } from './migrations/0019-identity.ts';
import { moves } from './migrations/0020-moves.ts';
import { captures } from './migrations/0021-captures.ts';
import { forgottenVms } from './migrations/0022-forgotten-vms.ts';
import type { Schema } from './schema/schema.ts';

/** All migrations, oldest first. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-initial': initial,
  '0002-taken-on': takenOn,
  '0003-description-digest': descriptionDigest,
  '0004-package-recipes': packageRecipes,
  '0005-recipe-reads': recipeReads,
  '0006-import-errors': importErrors,
  '0007-planned-deliveries': plannedDeliveries,
  '0008-holders': holders,
  '0009-skip-free': skipFree,
  '0010-lazy': lazy,
  '0011-boot-traces': bootTraces,
  '0012-functional': functional,
  '0013-exports': vmExports,
  '0015-databases': databases,
  '0017-functional-cost': functionalCost,
  '0018-drop-snapshot': dropSnapshot,
  '0019-identity': identity,
  '0020-moves': moves,
  '0021-captures': captures,
  '0022-forgotten-vms': forgottenVms,
};

/** Applies what is missing. Throws `incompatible_protocol` when the database is newer than this code. */
export async function migrate(db: Kysely<Schema>): Promise<readonly string[]> {
  return await db.connection().execute(async (lock) => {
    const { rows } = await sql<{ schema: string }>`select current_schema() as schema`.execute(lock);
    const schema = rows[0]!.schema;
    // Networks may share a database by schemas: one does not wait for another.
    const key = sql`hashtextextended('vmdn-migrations/' || ${schema}, 0)`;
    await sql`select pg_advisory_lock(${key})`.execute(lock);
    try {
      return await migrateLocked(db, schema);
    } finally {
      await sql`select pg_advisory_unlock(${key})`.execute(lock);
    }
  });
}

async function migrateLocked(db: Kysely<Schema>, schema: string): Promise<readonly string[]> {
  const migrator = new Migrator({
    db,
    migrationTableSchema: schema,
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
