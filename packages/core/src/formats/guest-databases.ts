/**
 * Room: formats. What a guest's packages and small files say of its databases: which engines, which
 * versions, where their data lies.
 *
 * I1: total: any text gives a value or null; paths and versions that are not of the expected form count as
 *     not there.
 * I2: a client library, or a database that is only a file (SQLite), is no engine.
 */

import type { DatabaseEngine, InstalledPackage } from '../domain/description.ts';

/** Configuration files and version files have a few hundred bytes to some 30 KB. */
export const DATABASE_FILE_BYTES_MAX = 256 * 1024;

/** Server packages of Debian, Ubuntu, Fedora, CentOS and its relatives, and of the makers themselves. */
const SERVERS: readonly (readonly [DatabaseEngine, RegExp])[] = [
  ['mariadb', /^(mariadb-server(-core)?(-[0-9.]+)?|MariaDB-server)$/],
  ['mysql', /^(mysql-server(-core)?(-[0-9.]+)?|mysql-community-server|percona-server-server.*)$/],
  ['postgresql', /^(postgresql-[0-9]{1,2}(\.[0-9])?|postgresql-server|postgresql[0-9]{2}-server)$/],
];

/** The engines whose servers are installed, with upstream versions; each engine and version once. */
export function databaseServers(
  packages: readonly InstalledPackage[],
): { engine: DatabaseEngine; version: string }[] {
  const found = new Map<string, { engine: DatabaseEngine; version: string }>();
  for (const { name, version } of packages) {
    const engine = SERVERS.find(([, pattern]) => pattern.test(name))?.[0];
    if (engine === undefined) continue;
    const upstream = upstreamVersion(version);
    found.set(`${engine} ${upstream}`, { engine, version: upstream });
  }
  return [...found.values()].sort((a, b) => order(a, b));
}

function order(a: { engine: string; version: string }, b: typeof a): number {
  const [one, other] = [`${a.engine} ${a.version}`, `${b.engine} ${b.version}`];
  return one < other ? -1 : one > other ? 1 : 0;
}

/** `1:10.11.6-0+deb12u1` is 10.11.6: epoch and distribution's revision off (Debian policy 5.6.12; rpm(8)). */
export function upstreamVersion(version: string): string {
  const withoutEpoch = version.replace(/^[0-9]+:/, '');
  return /^[0-9]+(\.[0-9]+)*/.exec(withoutEpoch)?.[0] ?? withoutEpoch;
}

const ABSOLUTE = /^\/[A-Za-z0-9._+@/-]{1,255}$/;

/** `datadir` of the server's groups in a my.cnf (MySQL manual, "Using Option Files"); null without one. */
export function mysqlDataDirectory(text: string): string | null {
  let inServer = false;
  let found: string | null = null;
  for (const line of text.slice(0, DATABASE_FILE_BYTES_MAX).split('\n')) {
    const group = /^\s*\[([^\]]{1,64})\]/.exec(line)?.[1];
    if (group !== undefined) inServer = /^(mysqld|server|mariadb)([-._0-9]*)$/.test(group);
    const value = /^\s*datadir\s*=\s*["']?([^"'#\s]+)/.exec(line)?.[1];
    if (inServer && value !== undefined && ABSOLUTE.test(value)) found = trimmed(value);
  }
  return found;
}

/** `data_directory` in a postgresql.conf; null without one. */
export function postgresqlDataDirectory(text: string): string | null {
  const pattern = /^\s*data_directory\s*=?\s*'([^'\n]{1,256})'/gm;
  let found: string | null = null;
  for (const match of text.slice(0, DATABASE_FILE_BYTES_MAX).matchAll(pattern)) {
    if (ABSOLUTE.test(match[1]!)) found = trimmed(match[1]!);
  }
  return found;
}

/** PG_VERSION holds the major version and nothing else. */
export function postgresqlVersion(text: string): string | null {
  return /^([0-9]{1,2}(?:\.[0-9]{1,2})?)\n?$/.exec(text)?.[1] ?? null;
}

/** mysql_upgrade_info and mariadb_upgrade_info: `10.11.6-MariaDB`. */
export function mysqlVersion(text: string): string | null {
  return /^([0-9]{1,3}(?:\.[0-9]{1,3}){1,3})/.exec(text)?.[1] ?? null;
}

function trimmed(path: string): string {
  return path.replace(/\/+$/, '') || '/';
}
