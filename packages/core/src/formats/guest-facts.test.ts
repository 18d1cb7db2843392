import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootFirmwares } from './boot-firmware.ts';
import { entriesOf, parseFileIndex } from './file-index.ts';
import { parseFstab } from './fstab.ts';
import {
  databaseServers,
  mysqlDataDirectory,
  mysqlVersion,
  postgresqlDataDirectory,
  postgresqlVersion,
} from './guest-databases.ts';
import { type MbrSector, parseMbrSector } from './partition-table.ts';
import { parseRpmList } from './rpm-list.ts';

describe('an fstab', () => {
  it('gives its lines, without comments, with blanks unescaped', () => {
    const text = `# <file system> <mount point>
UUID=1-2 / ext4 errors=remount-ro 0 1
LABEL=my\\040disk\t/mnt/my\\040disk/  xfs

/dev/mapper/vg-swap none swap sw 0 0
tmpfs /tmp tmpfs`;
    expect(parseFstab(text)).toEqual([
      { source: 'UUID=1-2', target: '/', type: 'ext4', options: 'errors=remount-ro' },
      { source: 'LABEL=my disk', target: '/mnt/my disk', type: 'xfs', options: 'defaults' },
      { source: '/dev/mapper/vg-swap', target: 'none', type: 'swap', options: 'sw' },
      { source: 'tmpfs', target: '/tmp', type: 'tmpfs', options: 'defaults' },
    ]);
  });

  it('of another form, or without end, gives what is sound of it', () => {
    for (const text of [
      '',
      '/dev/sda1',
      '/dev/sda1 var ext4',
      `x / ${'y'.repeat(600)}`,
      'a /\x1b b',
    ]) {
      expect(parseFstab(text)).toEqual([]);
    }
    expect(parseFstab('x / y\n'.repeat(10_000))).toHaveLength(200);
  });
});

describe('databases', () => {
  const servers = (...names: string[]) =>
    databaseServers(
      names.map((name) => ({ name, version: '1:10.11.6-0+deb12u1', architecture: '' })),
    );

  it.each([
    ['mariadb-server', 'mariadb'],
    ['mariadb-server-10.5', 'mariadb'],
    ['mysql-server-8.0', 'mysql'],
    ['mysql-community-server', 'mysql'],
    ['postgresql-15', 'postgresql'],
    ['postgresql-server', 'postgresql'],
    ['postgresql16-server', 'postgresql'],
  ])('%s is a server of %s', (name, engine) => {
    expect(servers(name)).toEqual([{ engine, version: '10.11.6' }]);
  });

  it('I2: clients, libraries and SQLite are none', () => {
    const names = [
      'mariadb-client',
      'libmariadb3',
      'postgresql-client-15',
      'sqlite3',
      'postgresql',
    ];
    expect(servers(...names)).toEqual([]);
    expect(servers('mariadb-server', 'mariadb-server-core')).toHaveLength(1);
  });

  it('have their data where their configuration says, in the groups of the server', () => {
    const text =
      '[client]\ndatadir=/wrong\n[mysqld]\n# datadir=/no\n datadir = "/srv/db/" # here\n';
    expect(mysqlDataDirectory(text)).toBe('/srv/db');
    expect(mysqlDataDirectory('[mysqldump]\ndatadir=/wrong\n[mysqld]\ndatadir=$(id)\n')).toBeNull();
    expect(postgresqlDataDirectory("data_directory = '/var/lib/postgresql/15/main' # x")).toBe(
      '/var/lib/postgresql/15/main',
    );
    expect(
      postgresqlDataDirectory("#data_directory = '/a'\ndata_directory = 'relative'"),
    ).toBeNull();
  });

  it('leave their version beside their data', () => {
    expect([postgresqlVersion('15\n'), postgresqlVersion('9.6\n')]).toEqual(['15', '9.6']);
    expect([postgresqlVersion('15; rm'), mysqlVersion('evil')]).toEqual([null, null]);
    expect(mysqlVersion('10.11.6-MariaDB')).toBe('10.11.6');
  });
});

describe('boot firmware', () => {
  const sector = (hasBootCode: boolean): MbrSector => ({
    ...{ hasBootCode, isProtective: false, partitions: [], extendedStart: null },
  });
  const role = (name?: 'efi' | 'bios-boot') => ({
    offsetBytes: 1,
    lengthBytes: 1,
    ...(name && { role: name }),
  });

  it('is UEFI with an EFI system partition, BIOS with boot code or its partition, or both, or none', () => {
    expect(bootFirmwares(sector(false), [role('efi')])).toEqual(['uefi']);
    expect(bootFirmwares(sector(true), [role()])).toEqual(['bios']);
    expect(bootFirmwares(sector(false), [role('bios-boot'), role('efi')])).toEqual([
      'bios',
      'uefi',
    ]);
    expect(bootFirmwares(sector(false), [role()])).toEqual([]);
    expect(bootFirmwares(null, [])).toEqual([]);
  });

  it('code before the disk signature counts, the signature itself does not', () => {
    const bytes = new Uint8Array(512);
    bytes.set([0x55, 0xaa], 510);
    bytes.set([1, 2, 3, 4], 440);
    expect(parseMbrSector(bytes)?.hasBootCode).toBe(false);
    bytes[0] = 0xeb;
    expect(parseMbrSector(bytes)?.hasBootCode).toBe(true);
  });
});

describe('an index of files', () => {
  const index = parseFileIndex(
    'd 4096 ./etc\0\0f 12 ./etc/a b\nc\0\0l 7 ./etc/link\0../x\0p 0 ./etc/pipe\0\0bad\0\0f x ./y\0\0',
  );

  it('gives types, sizes and links, whatever the names', () => {
    expect(Object.fromEntries(index)).toEqual({
      '/etc': { type: 'directory', sizeBytes: 4096, linkTarget: null },
      '/etc/a b\nc': { type: 'regular', sizeBytes: 12, linkTarget: null },
      '/etc/link': { type: 'symlink', sizeBytes: 7, linkTarget: '../x' },
      '/etc/pipe': { type: 'other', sizeBytes: 0, linkTarget: null },
    });
  });

  it('lists a folder one step deep', () => {
    const names = entriesOf(index, '/etc').map(({ name }) => name);
    expect(names).toEqual(['a b\nc', 'link', 'pipe']);
    expect(entriesOf(index, '')).toEqual([{ name: 'etc', isDirectory: true }]);
  });
});

describe("rpm's list", () => {
  it('gives packages with epochs only where they count, keys left out', () => {
    const text =
      'b\t0:1.0-2.el9\tx86_64\na\t3:10.5-1\tnoarch\ngpg-pubkey\t0:8483c65d-5ccc5b19\t(none)\n';
    expect(parseRpmList(text)).toEqual([
      { name: 'a', version: '3:10.5-1', architecture: 'noarch' },
      { name: 'b', version: '1.0-2.el9', architecture: 'x86_64' },
    ]);
  });

  it('of what no package can be called gives nothing', () => {
    expect(parseRpmList('$(id)\t0:1-1\tx86_64\na\t1\tx\na\t0:1-1\t../x\n\0\n')).toEqual([]);
    expect(() => parseRpmList('a\t0:1-1\tx\n'.repeat(50_001))).toThrow(/more than 50000/);
  });
});

it('every one of them is total', () => {
  const parsers: ((text: string) => unknown)[] = [
    parseFstab,
    parseFileIndex,
    parseRpmList,
    mysqlDataDirectory,
    postgresqlDataDirectory,
  ];
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      for (const parse of parsers) expect(() => parse(text)).not.toThrow();
    }),
  );
});
