/**
 * Room: store. Recipes of package images.
 *
 * I1: a row is written once and never changed but for the time of its last use, which is kept to the hour
 *     so that reading costs no writing.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';

/** A known package recipe without its bytes. */
export interface PackageRow {
  readonly sha256: Digest;
  readonly digest: Digest;
  readonly keysRoot: Digest;
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
  readonly recipeBytes: number;
  readonly packedBytes: number;
}

export interface NewPackageRecipe extends PackageRow {
  readonly unpacker: number;
  readonly recipe: Uint8Array;
  readonly reportedBy: Id;
}

const COLUMNS = [
  ...(['sha256', 'digest', 'keys_root as keysRoot'] as const),
  ...(['virtual_size_bytes as virtualSizeBytes', 'non_zero_bytes as nonZeroBytes'] as const),
  ...(['recipe_bytes as recipeBytes', 'packed_bytes as packedBytes'] as const),
] as const;

function named(sha256s: readonly Digest[]) {
  return sql<boolean>`sha256 = any(${sha256s as Digest[]})`;
}

/** Package recipes over a connection or a transaction. */
export function packageStore(db: Db) {
  return {
    find: (unpacker: number, sha256s: readonly Digest[]): Promise<PackageRow[]> =>
      db
        .selectFrom('package_recipes')
        .select(COLUMNS)
        .where('unpacker', '=', unpacker)
        .where(named(sha256s))
        .orderBy('sha256')
        .execute(),

    async recipes(
      unpacker: number,
      sha256s: readonly Digest[],
    ): Promise<ReadonlyMap<Digest, Uint8Array>> {
      const rows = await db
        .selectFrom('package_recipes')
        .select(['sha256', 'recipe'])
        .where('unpacker', '=', unpacker)
        .where(named(sha256s))
        .execute();
      return new Map(rows.map((row) => [row.sha256, row.recipe]));
    },

    /** Notes that they were used. Rows that somebody else notes just now are left to him. */
    async touch(unpacker: number, sha256s: readonly Digest[]): Promise<void> {
      await sql`with stale as (
          select unpacker, sha256 from package_recipes
          where unpacker = ${unpacker} and ${named(sha256s)} and used_at < now() - interval '1 hour'
          for update skip locked
        )
        update package_recipes p set used_at = now() from stale
        where p.unpacker = stale.unpacker and p.sha256 = stale.sha256`.execute(db);
    },

    /** Adds it unless the key is there. True when it was added. */
    async add(row: NewPackageRecipe): Promise<boolean> {
      const { unpacker, sha256, digest, recipe } = row;
      const result = await db
        .insertInto('package_recipes')
        .values({
          ...{ unpacker, sha256, digest, recipe },
          keys_root: row.keysRoot,
          virtual_size_bytes: row.virtualSizeBytes,
          non_zero_bytes: row.nonZeroBytes,
          recipe_bytes: row.recipeBytes,
          packed_bytes: row.packedBytes,
          reported_by: row.reportedBy,
        })
        .onConflict((conflict) => conflict.columns(['unpacker', 'sha256']).doNothing())
        .executeTakeFirst();
      return result.numInsertedOrUpdatedRows === 1n;
    },

    /** Removes the least recently used rows beyond these bounds; tells how many. */
    async evict({ rowsMax, bytesMax }: PackageBounds): Promise<number> {
      const result = await sql`delete from package_recipes p using (
          select unpacker, sha256, row_number() over newest_first as rows,
            sum(packed_bytes) over newest_first as bytes
          from package_recipes
          window newest_first as (order by used_at desc, reported_at desc, unpacker, sha256
            rows unbounded preceding)
        ) ranked
        where p.unpacker = ranked.unpacker and p.sha256 = ranked.sha256
          and (ranked.rows > ${rowsMax} or ranked.bytes > ${bytesMax})`.execute(db);
      return Number(result.numAffectedRows ?? 0n);
    },
  };
}

/** How much is kept; bytes are those of the compressed recipes. */
export interface PackageBounds {
  readonly rowsMax: number;
  readonly bytesMax: number;
}
