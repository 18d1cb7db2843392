import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDatabaseReport } from './database-report.ts';

test('a restored database has a line of its own', () => {
  const text =
    'mariadb\t10.11.19-MariaDB-0+deb12u1\t/var/lib/mysql\t30\t103461\n' +
    'postgresql\t15.20 (Debian 15.20-0+deb12u1)\t/var/lib/postgresql/15/main\t2\t20002\n';
  expect(parseDatabaseReport(text)).toEqual([
    {
      ...{
        engine: 'mariadb',
        version: '10.11.19-MariaDB-0+deb12u1',
        dataDirectory: '/var/lib/mysql',
      },
      ...{ how: 'dump', tables: 30, rows: 103_461 },
    },
    {
      ...{ engine: 'postgresql', version: '15.20 (Debian 15.20-0+deb12u1)' },
      ...{ dataDirectory: '/var/lib/postgresql/15/main', how: 'dump', tables: 2, rows: 20_002 },
    },
  ]);
});

test('I1: any text gives databases or none', () => {
  expect(
    parseDatabaseReport('oracle\t1\t/x\t1\t1\nmariadb\t1\tx\t1\t1\nmariadb\t1\t/x\t-1\t1\n'),
  ).toEqual([]);
  fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseDatabaseReport(text))));
});
