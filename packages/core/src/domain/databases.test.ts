import { expect, test } from 'vitest';
import { copiedDatabases, dumpedDatabases } from './databases.ts';
import type { GuestDatabase } from './description.ts';

const mariadb: GuestDatabase = {
  ...{ engine: 'mariadb', version: '10.11', dataDirectory: '/var/lib/mysql' },
};
const cluster: GuestDatabase = {
  ...{ engine: 'postgresql', version: '15', dataDirectory: '/var/lib/postgresql/15/main' },
};
const others: readonly GuestDatabase[] = [
  { engine: 'mysql', version: '8.0', dataDirectory: '/srv/mysql' },
  { engine: 'postgresql', version: '13', dataDirectory: null },
];

test('I1: what has a server and a known folder is dumped, each folder once', () => {
  const all = [mariadb, cluster, cluster, ...others];
  expect(dumpedDatabases(all, 'dump')).toEqual([
    { engine: 'mariadb', dataDirectory: '/var/lib/mysql' },
    { engine: 'postgresql', dataDirectory: '/var/lib/postgresql/15/main' },
  ]);
  expect(dumpedDatabases(all, 'files')).toEqual([]);
});

test('what was not restored came by files', () => {
  const restored = [{ ...mariadb, how: 'dump', tables: 30, rows: 7 } as const];
  expect(copiedDatabases([mariadb, ...others], restored)).toEqual([
    restored[0],
    { ...others[0], how: 'files', tables: null, rows: null },
    { ...others[1], how: 'files', tables: null, rows: null },
  ]);
});
