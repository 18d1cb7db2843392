/**
 * Room: tests. Descriptions of guests for the forms: as they are, and as an attacker would have them.
 */

import type { Description, InstalledPackage } from '@vmdn/core/domain/description.ts';
import { DESCRIPTION_SCHEMA } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import fc from 'fast-check';

const DIGEST = 'ab'.repeat(32) as Digest;

function packages(list: string): InstalledPackage[] {
  return list.split(' ').map((each) => {
    const [name = '', version = '', architecture = 'amd64'] = each.split('/');
    return { name, version, architecture };
  });
}

const COMMON = {
  schema: DESCRIPTION_SCHEMA,
  vm: 'web-01' as Name,
  version: 3,
  describedAt: '2026-01-02T03:04:05.000Z',
  hardware: {
    vcpus: 2,
    memoryMiB: 1024,
    firmware: 'bios',
    ports: [
      { name: 'http' as Name, guest: 80 },
      { name: 'ssh' as Name, guest: 22 },
    ],
    ready: null,
  },
  disks: [
    {
      digest: DIGEST,
      virtualSizeBytes: 2 ** 30,
      nonZeroBytes: 2 ** 28,
      keysRoot: DIGEST,
      recipeBytes: 2 ** 20,
    },
  ],
} as const;

const MOUNTS = [
  { source: 'UUID=0a1b', target: '/', type: 'ext4', options: 'errors=remount-ro' },
  { source: '/dev/sr0', target: '/media/cdrom0', type: 'udf,iso9660', options: 'user,noauto' },
  { source: 'nas.example:/srv/share', target: '/srv/share', type: 'nfs', options: 'ro,noatime' },
  { source: 'tmpfs', target: '/var/tmp/scratch', type: 'tmpfs', options: 'size=64m' },
] as const;

export const DEBIAN: Description = {
  ...COMMON,
  os: {
    id: 'debian',
    versionId: '12',
    prettyName: 'Debian GNU/Linux 12 (bookworm)',
    architecture: 'amd64',
  },
  packages: packages(
    'adduser/3.134/all apt/2.6.1 dpkg/1.21.22 g++/4:12.2.0-3 grub-pc/2.06-13 libc6/2.36-9+deb12u8 ' +
      'libc6/2.36-9+deb12u8/i386 linux-image-amd64/6.1.106-3 mariadb-server/1:10.11.6-0+deb12u1/all ' +
      'nginx/1.22.1-9 php8.2-fpm/8.2.20-1~deb12u1',
  ),
  services: ['getty@tty1.service', 'mariadb.service', 'nginx.service', 'php8.2-fpm.service'],
  databases: [{ engine: 'mariadb', version: '10.11.6', dataDirectory: '/var/lib/mysql' }],
  mounts: MOUNTS,
  boots: ['bios'],
};

export const RPM: Description = {
  ...COMMON,
  os: { id: 'centos', versionId: '9', prettyName: 'CentOS Stream 9', architecture: 'x86_64' },
  packages: packages(
    'bash/5.1.8-9.el9/x86_64 dnf/4.14.0-17.el9/noarch glibc/2.34-122.el9/i686 glibc/2.34-122.el9/x86_64 ' +
      'kernel-core/5.14.0-500.el9/x86_64 nginx/2:1.22.1-3.el9/x86_64 rpm/4.16.1.3-34.el9/x86_64',
  ),
  services: ['nginx.service', 'sshd.service'],
  databases: [],
  mounts: MOUNTS,
  boots: ['uefi'],
};

/** What breaks out of literals, comments, templates, here-documents, options and patterns. */
export const HOSTILE = [
  ...[
    `'`,
    `"`,
    '\\',
    "\\'",
    '`touch /tmp/x`',
    '$(touch /tmp/x)',
    '#{exit}',
    "{{ lookup('pipe', 'id') }}",
  ],
  ...[
    '{% raw %}',
    '!!python/object:os.system',
    '-o=x',
    '--help',
    'a b',
    "'; notify{'x':} '",
    '*',
    '&a',
    '$x',
  ],
  ...[
    'SHELL',
    'EOF',
    '<<EOF',
    'x # y',
    '# escape=`',
    '# syntax=evil',
    '# coding: utf-7',
    '%{x}',
    '~',
    'no',
    '012',
  ],
  ...[
    '1:30',
    '2001-01-01',
    '.',
    '..',
    '\\040',
    'line\nRUN evil',
    '\u2028x',
    'ü',
    '\u0085',
    '\ufffe',
    '\ud800',
  ],
];

/** Any text, often one that has a meaning somewhere. */
export const anyText = (maxLength: number): fc.Arbitrary<string> =>
  fc
    .oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: 'binary' }), fc.string())
    .map((text) => text.slice(0, maxLength));

/** A description as a hostile origin could sign it: every text of the guest is any text. */
export const hostileDescription = (base: Description): fc.Arbitrary<Description> => {
  const text = anyText(200);
  const possible = (name: string): fc.Arbitrary<string> => fc.oneof(fc.constant(name), text);
  const odd = fc.record({ name: possible('vim'), version: possible('1.0-1'), architecture: text });
  const mount = fc.record({
    source: possible('tmpfs'),
    target: text.map((path) => `/${path}`),
    type: possible('tmpfs'),
    options: text,
  });
  const database = fc.record({
    engine: fc.constant('mysql' as const),
    version: text,
    dataDirectory: text,
  });
  return fc
    .record({
      packages: fc.array(odd, { maxLength: 8 }),
      services: fc.array(
        text.map((name) => `${name}.service`),
        { maxLength: 8 },
      ),
      mounts: fc.array(mount, { maxLength: 8 }),
      databases: fc.array(database, { maxLength: 2 }),
      prettyName: text,
    })
    .map(({ prettyName, ...facts }) => ({
      ...base,
      os: { ...base.os!, prettyName },
      packages: [...base.packages, ...facts.packages],
      services: [...base.services, ...facts.services],
      mounts: [...(base.mounts ?? []), ...facts.mounts],
      databases: facts.databases,
    }));
};
