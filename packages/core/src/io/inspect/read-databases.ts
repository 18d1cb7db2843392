/**
 * Room: io, inspect. The database servers of a guest: from its packages, their configuration and the marks
 * that they leave beside their data. The data itself is not looked at.
 *
 * I1: bounded: files of a configuration folder, clusters of a server.
 */

import type { GuestDatabase, InstalledPackage } from '../../domain/description.ts';
import {
  DATABASE_FILE_BYTES_MAX,
  databaseServers,
  mysqlDataDirectory,
  mysqlVersion,
  postgresqlDataDirectory,
  postgresqlVersion,
} from '../../formats/guest-databases.ts';
import type { GuestFiles } from './guest-files.ts';

const CONFIGURATION_FILES_MAX = 40;
const CLUSTERS_MAX = 20;
const MYSQL_DATA = '/var/lib/mysql';
/** In the order in which servers read them, so that the last word counts. */
const MYSQL_FILES = ['/etc/my.cnf', '/etc/mysql/my.cnf'];
const MYSQL_FOLDERS = [
  '/etc/my.cnf.d',
  '/etc/mysql/conf.d',
  '/etc/mysql/mysql.conf.d',
  '/etc/mysql/mariadb.conf.d',
];
/** A name that may stand in a path of a request. */
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;

/** The servers, each with the folder of its data. Throws what reading throws. */
export async function readDatabases(
  files: GuestFiles,
  packages: readonly InstalledPackage[],
): Promise<GuestDatabase[]> {
  const servers = databaseServers(packages);
  return [
    ...(await mysqlDatabases(files, servers)),
    ...(await postgresqlDatabases(
      files,
      servers.filter(({ engine }) => engine === 'postgresql').map(({ version }) => version),
    )),
  ];
}

async function mysqlDatabases(
  files: GuestFiles,
  servers: ReturnType<typeof databaseServers>,
): Promise<GuestDatabase[]> {
  const installed = servers.filter(({ engine }) => engine !== 'postgresql');
  const hasData = (await files.stat(MYSQL_DATA)) !== null;
  const mark = hasData ? await mysqlMark(files) : null;
  if (installed.length === 0 && mark === null) return [];
  const configured = await mysqlConfigured(files);
  const dataDirectory = configured ?? (hasData ? MYSQL_DATA : null);
  const found = installed.length === 0 ? [mark!] : installed;
  return found.map(({ engine, version }) => ({ engine, version, dataDirectory }));
}

/** What the server wrote beside its data when it was last upgraded. */
async function mysqlMark(files: GuestFiles): Promise<Omit<GuestDatabase, 'dataDirectory'> | null> {
  for (const name of ['mariadb_upgrade_info', 'mysql_upgrade_info']) {
    const text = await textOf(files, `${MYSQL_DATA}/${name}`);
    const version = text === null ? null : mysqlVersion(text);
    if (text === null || version === null) continue;
    return { engine: /mariadb/i.test(name + text) ? 'mariadb' : 'mysql', version };
  }
  return null;
}

async function mysqlConfigured(files: GuestFiles): Promise<string | null> {
  const paths = [...MYSQL_FILES];
  for (const folder of MYSQL_FOLDERS) {
    const names = (await files.list(folder)).map(({ name }) => name).filter(isPlain);
    paths.push(
      ...names
        .filter((name) => name.endsWith('.cnf'))
        .sort()
        .map((name) => `${folder}/${name}`),
    );
  }
  let found: string | null = null;
  for (const path of paths.slice(0, CONFIGURATION_FILES_MAX)) {
    const text = await textOf(files, path);
    if (text !== null) found = mysqlDataDirectory(text) ?? found;
  }
  return found;
}

async function postgresqlDatabases(
  files: GuestFiles,
  installed: readonly string[],
): Promise<GuestDatabase[]> {
  const clusters = new Map<string, string>();
  const add = (dataDirectory: string, version: string): void => {
    if (clusters.size < CLUSTERS_MAX) clusters.set(dataDirectory, version);
  };
  // Debian and Ubuntu: /etc/postgresql/15/main and /var/lib/postgresql/15/main (pg_createcluster(1)).
  for (const [version, cluster] of await pairsBelow(files, '/etc/postgresql')) {
    const text = await textOf(files, `/etc/postgresql/${version}/${cluster}/postgresql.conf`);
    const configured = text === null ? null : postgresqlDataDirectory(text);
    if (configured !== null) add(configured, version);
  }
  for (const [version, cluster] of await pairsBelow(files, '/var/lib/postgresql')) {
    const path = `/var/lib/postgresql/${version}/${cluster}`;
    const text = await textOf(files, `${path}/PG_VERSION`);
    const found = text === null ? null : postgresqlVersion(text);
    if (found !== null) add(path, found);
  }
  // Fedora and its relatives: /var/lib/pgsql/data; PostgreSQL's own packages: /var/lib/pgsql/15/data.
  const versions = (await foldersIn(files, '/var/lib/pgsql')).filter((name) => name !== 'data');
  for (const path of ['data', ...versions.map((name) => `${name}/data`)]) {
    const text = await textOf(files, `/var/lib/pgsql/${path}/PG_VERSION`);
    const found = text === null ? null : postgresqlVersion(text);
    if (found !== null) add(`/var/lib/pgsql/${path}`, found);
  }
  const used = new Set<string>();
  const withData = [...clusters].map(([dataDirectory, major]): GuestDatabase => {
    const server = installed.find((full) => full === major || full.startsWith(`${major}.`));
    if (server !== undefined) used.add(server);
    return { engine: 'postgresql', version: server ?? major, dataDirectory };
  });
  const without = installed
    .filter((version) => !used.has(version))
    .map((version): GuestDatabase => ({ engine: 'postgresql', version, dataDirectory: null }));
  return [...withData, ...without];
}

/** Folders two steps below `path`, as pairs of names. */
async function pairsBelow(files: GuestFiles, path: string): Promise<[string, string][]> {
  const pairs: [string, string][] = [];
  for (const outer of await foldersIn(files, path)) {
    for (const inner of await foldersIn(files, `${path}/${outer}`)) pairs.push([outer, inner]);
  }
  return pairs.slice(0, CLUSTERS_MAX);
}

async function foldersIn(files: GuestFiles, path: string): Promise<string[]> {
  const entries = await files.list(path);
  const names = entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  return names.filter(isPlain).sort().slice(0, CLUSTERS_MAX);
}

/** Null when it is no regular file, or larger than such a file is. */
async function textOf(files: GuestFiles, path: string): Promise<string | null> {
  const inode = await files.stat(path);
  if (inode?.type !== 'regular' || inode.sizeBytes > DATABASE_FILE_BYTES_MAX) return null;
  return await files.read(path, DATABASE_FILE_BYTES_MAX);
}

function isPlain(name: string): boolean {
  return PLAIN_NAME.test(name);
}
