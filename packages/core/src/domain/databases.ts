/**
 * Room: domain. How the databases of a guest come into a functional copy: by their files, as the 2015 report
 * had it, or by dump and restore, which it named as future work.
 *
 * I1: a dump is made of what has a server to make it and a data directory that is known; the rest comes by
 *     its files.
 */

import type { DatabaseEngine, GuestDatabase } from './description.ts';

export const DATABASE_WAYS = ['files', 'dump'] as const;
export type DatabaseWay = (typeof DATABASE_WAYS)[number];

/** A database server of a functional copy. */
export interface CopiedDatabase extends GuestDatabase {
  readonly how: DatabaseWay;
  /** Restored, and compared with the source's row by row; null: came by files. */
  readonly tables: number | null;
  readonly rows: number | null;
}

/** A database that a dump can be made of. */
export interface DumpedDatabase {
  readonly engine: DatabaseEngine;
  readonly dataDirectory: string;
}

const DUMPED: ReadonlySet<DatabaseEngine> = new Set(['mariadb', 'postgresql']);

/** Those that come by dump and restore, each data directory once (I1). */
export function dumpedDatabases(
  databases: readonly GuestDatabase[],
  way: DatabaseWay,
): DumpedDatabase[] {
  if (way === 'files') return [];
  const found = new Map<string, DumpedDatabase>();
  for (const { engine, dataDirectory } of databases) {
    if (dataDirectory === null || !DUMPED.has(engine)) continue;
    found.set(dataDirectory, { engine, dataDirectory });
  }
  return [...found.values()];
}

/** What a copy has of a guest's databases, when `restored` were restored and the others came by files. */
export function copiedDatabases(
  databases: readonly GuestDatabase[],
  restored: readonly CopiedDatabase[],
): CopiedDatabase[] {
  const done = new Set(restored.map(({ dataDirectory }) => dataDirectory));
  const rest = databases.filter(({ dataDirectory }) => !done.has(dataDirectory));
  const byFiles = { how: 'files', tables: null, rows: null } as const;
  return [...restored, ...rest.map((database) => ({ ...database, ...byFiles }))];
}
