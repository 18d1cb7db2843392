/**
 * Room: formats. What databases.sh says of the databases that it restored: a line for each, of engine,
 * version, data directory, tables and rows, with tabs between them.
 *
 * I1: total: a line of another form is left out.
 */

import type { CopiedDatabase } from '../domain/databases.ts';

const LINE =
  /^(mariadb|postgresql)\t([^\t\n]{1,100})\t(\/[^\t\n]{1,255})\t([0-9]{1,9})\t([0-9]{1,15})$/gm;

export function parseDatabaseReport(text: string): CopiedDatabase[] {
  return [...text.matchAll(LINE)].map(([, engine, version, dataDirectory, tables, rows]) => ({
    engine: engine as 'mariadb' | 'postgresql',
    version: version!,
    dataDirectory: dataDirectory!,
    how: 'dump',
    tables: Number(tables),
    rows: Number(rows),
  }));
}
