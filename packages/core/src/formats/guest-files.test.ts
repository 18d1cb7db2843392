import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import { parseDebugfsList, parseDebugfsStat, resolveGuestLink } from './debugfs-output.ts';
import { parseDpkgStatus } from './dpkg-status.ts';
import { parseExtSuperblock } from './ext.ts';
import { parseOsRelease } from './os-release.ts';
import { enabledServices, isWantsFolder } from './systemd-units.ts';

/** The best of a few, so that what else the machine does counts little. */
function msToParse(status: string): number {
  const rounds = Array.from({ length: 5 }, () => {
    const started = performance.now();
    parseDpkgStatus(status);
    return performance.now() - started;
  });
  return Math.min(...rounds);
}

describe('os-release', () => {
  it('is read with its quotes taken off', () => {
    const text = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME='Debian'
# a comment
VERSION_ID="12"
ID=debian
HOME_URL="https://www.debian.org/"`;
    expect(parseOsRelease(text)).toEqual({
      id: 'debian',
      versionId: '12',
      prettyName: 'Debian GNU/Linux 12 (bookworm)',
    });
    expect(parseOsRelease('NAME="a \\"b\\" \\$c"\r\n')?.prettyName).toBe('a "b" $c');
  });

  it('of the machine that runs this test is read', () => {
    expect(parseOsRelease(readFileSync('/etc/os-release', 'utf8'))?.id).toMatch(/^[a-z]+$/);
  });

  it.each([
    ['nothing', ''],
    ['binary', '\0\x01\x02ID'],
    ['no names', 'FOO=bar\n'],
    ['an endless name', `ID=${'a'.repeat(10_000)}`],
    ['a name with an escape sequence in it', 'ID=\x1b[31mevil'],
    ['lower-case keys', 'id=debian'],
  ])('with %s is null', (_, text) => {
    expect(parseOsRelease(text)).toBeNull();
  });
});

describe('the dpkg status file', () => {
  const stanza = (fields: Record<string, string>): string =>
    Object.entries({ Status: 'install ok installed', Architecture: 'amd64', ...fields })
      .map(([name, value]) => `${name}: ${value}`)
      .join('\n');

  it('gives installed packages, sorted, held ones too', () => {
    const text = [
      stanza({ Package: 'zlib1g', Version: '1:1.2.13', Description: 'x\n Package: forged' }),
      stanza({ Package: 'nginx', Version: '1.22.1-9', Status: 'hold ok installed' }),
      stanza({ Package: 'gone', Version: '1', Status: 'deinstall ok config-files' }),
      stanza({ Package: 'half', Version: '1', Status: 'install ok half-installed' }),
    ].join('\n\n');
    expect(parseDpkgStatus(text)).toEqual([
      { name: 'nginx', version: '1.22.1-9', architecture: 'amd64' },
      { name: 'zlib1g', version: '1:1.2.13', architecture: 'amd64' },
    ]);
  });

  it('leaves out what no package can be called', () => {
    for (const Package of ['', 'UPPER', '../../etc', '--help', 'a b', 'é', 'a'.repeat(200)]) {
      expect(parseDpkgStatus(stanza({ Package, Version: '1' }))).toEqual([]);
    }
    for (const Version of ['', '1 2', '$(id)', '1\x00', '9'.repeat(300)]) {
      expect(parseDpkgStatus(stanza({ Package: 'fine', Version }))).toEqual([]);
    }
  });

  it('of more packages than any guest has is too large', () => {
    const one = `${stanza({ Package: 'p', Version: '1' })}\n\n`;
    expect(() => parseDpkgStatus(one.repeat(50_001))).toThrow(/more than 50000/);
  });

  it('of any text ends in a list', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(Array.isArray(parseDpkgStatus(`Package: ${text}\nStatus: ${text}`))).toBe(true);
      }),
    );
  });

  it('takes time in proportion to its length, whatever is in it', () => {
    const hostile: readonly ((length: number) => string)[] = [
      (length) => `${'Package: '.repeat(length)}\n`,
      (length) => `Package: p\n${' \n\t'.repeat(length)}`,
      (length) => `Status:${' '.repeat(length)}x`,
    ];
    for (const text of hostile) {
      // Sixteen times the length: 256 times the time, were it quadratic.
      expect(msToParse(text(320_000)) / msToParse(text(20_000))).toBeLessThan(100);
    }
  });
});

describe('systemd’s folders', () => {
  it('give enabled services once each, sorted; other units and odd names are left out', () => {
    const names = ['ssh.service', 'getty@tty1.service', 'a.timer', 'ssh.service', 'x y.service'];
    expect(enabledServices(names)).toEqual(['getty@tty1.service', 'ssh.service']);
    expect(enabledServices(['../evil.service', '.service', `${'a'.repeat(300)}.service`])).toEqual(
      [],
    );
  });

  it('are .wants and .requires folders whose names need no quoting', () => {
    expect(['multi-user.target.wants', 'x.requires'].every(isWantsFolder)).toBe(true);
    expect(['a b.wants', 'x"; rm.wants', 'multi-user.target', '../x.wants/y'].some(isWantsFolder)) //
      .toBe(false);
  });
});

describe('debugfs', () => {
  const stat = `Inode: 13   Type: symlink    Mode:  0777   Flags: 0x0
Generation: 0    Version: 0x00000000:00000000
User:     0   Group:     0   Project:     0   Size: 21
Fast link dest: "../usr/lib/os-release"
`;
  it('tells type, size and link of an inode', () => {
    expect(parseDebugfsStat(stat)).toEqual({
      type: 'symlink',
      sizeBytes: 21,
      linkTarget: '../usr/lib/os-release',
    });
    expect(parseDebugfsStat(stat.replace('symlink', 'FIFO'))?.type).toBe('other');
    expect(parseDebugfsStat('/nothing: File not found by ext2_lookup')).toBeNull();
    expect(parseDebugfsStat(stat.replace('Size: 21', 'Size: 99999999999999999999'))).toBeNull();
  });

  it('lists a folder; names that break its form are left out', () => {
    const text = `/16/040755/0/0/.//
/15/040755/0/0/..//
/17/120777/0/0/nginx.service/33/
/18/040755/0/0/x.wants//
/19/100644/0/0/with
newline.service/3/
not a line
`;
    expect(parseDebugfsList(text)).toEqual([
      { name: 'nginx.service', isDirectory: false },
      { name: 'x.wants', isDirectory: true },
    ]);
  });

  it('links are resolved within the guest’s root and nowhere else', () => {
    const from = '/etc/os-release';
    expect(resolveGuestLink(from, '../usr/lib/os-release')).toBe('/usr/lib/os-release');
    expect(resolveGuestLink(from, '/usr/lib/os-release')).toBe('/usr/lib/os-release');
    expect(resolveGuestLink(from, 'os-release.real')).toBe('/etc/os-release.real');
    for (const target of ['../../../etc/shadow', '../..', 'a b', '"; dump /etc', '']) {
      const resolved = resolveGuestLink(from, target);
      expect(resolved === null || resolved === '/etc').toBe(true);
    }
  });
});

describe('an ext superblock', () => {
  it('is seen by its magic, and gives block and file system size', () => {
    const bytes = new Uint8Array(1024);
    expect(parseExtSuperblock(bytes)).toBeNull();
    const view = new DataView(bytes.buffer);
    view.setUint16(56, 0xef53, true);
    view.setUint32(24, 2, true);
    view.setUint32(4, 1000, true);
    bytes.set(Buffer.from('0123456789abcdef0123456789abcdef', 'hex'), 104);
    bytes.set(Buffer.from('data'), 120);
    expect(parseExtSuperblock(bytes)).toEqual({
      ...{ blockBytes: 4096, sizeBytes: 4_096_000 },
      ...{ uuid: '01234567-89ab-cdef-0123-456789abcdef', label: 'data' },
    });
    view.setUint32(24, 40, true);
    expect(parseExtSuperblock(bytes)).toBeNull();
    expect(parseExtSuperblock(bytes.subarray(0, 100))).toBeNull();
  });
});

it('no parser of guest data throws anything but a VmdnError, whatever the bytes', () => {
  const parsers = [
    parseOsRelease,
    parseDpkgStatus,
    parseDebugfsList,
    parseDebugfsStat,
    (text: string) => parseExtSuperblock(Buffer.from(text.padEnd(1024, 'S'))),
  ];
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      for (const parse of parsers) {
        try {
          parse(text);
        } catch (error) {
          expect(isVmdnError(error)).toBe(true);
        }
      }
    }),
  );
});
