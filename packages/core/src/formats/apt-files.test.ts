import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import { aptProxies, parseAptConfigDump, parseAptConfigShell } from './apt-config.ts';
import { isOneClearsignedMessage, parseAptRelease } from './apt-release.ts';
import { parseDeb822Sources, parseOneLineSources } from './apt-sources.ts';
import { parseDeb822 } from './deb822.ts';
import { binaryKeyring } from './openpgp-keys.ts';

const HASH = 'ab'.repeat(32);

describe('deb822', () => {
  it('I1: any text gives paragraphs with bounded surprises', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        for (const paragraph of parseDeb822(text)) expect(paragraph.size).toBeGreaterThan(0);
      }),
    );
    expect([...parseDeb822('a: 1\nA: 2\n more\n\n\n# b\nc : 3\n d\n')[0]!]).toEqual([['a', '1']]);
    expect(parseDeb822('a: 1\n\nC: 3\n d\n .\n')[1]!.get('c')).toBe('3\nd\n.');
  });
});

describe('sources of apt', () => {
  it('are read from deb822 files', () => {
    const text = `Types: deb deb-src
URIs: http://mirror.test/debian https://other.test/d/
Suites: stable stable-updates
Components: main contrib
Signed-By: /keys/a.gpg
Check-Valid-Until: no
X-Vmdn-Os: debian,ours

Types: deb
Enabled: no
URIs: http://off.test/
Suites: a
Components: b
`;
    const { sources, remarks } = parseDeb822Sources(text);
    expect(remarks).toEqual([]);
    expect(sources.map(({ uri, suite }) => `${uri} ${suite}`)).toEqual([
      'http://mirror.test/debian/ stable',
      'http://mirror.test/debian/ stable-updates',
      'https://other.test/d/ stable',
      'https://other.test/d/ stable-updates',
    ]);
    expect(sources[0]).toMatchObject({
      components: ['main', 'contrib'],
      trust: { kind: 'files', paths: ['/keys/a.gpg'] },
      checkValidUntil: false,
      osIds: ['debian', 'ours'],
    });
  });

  it('are read from one-line files', () => {
    const { sources } = parseOneLineSources(
      'deb [arch=amd64,i386 signed-by=/k.asc] http://a.test/x stable main # words\n' +
        'deb-src http://a.test/x stable main\ndeb http://flat.test/ ./\n',
    );
    expect(sources).toEqual([
      {
        uri: 'http://a.test/x/',
        suite: 'stable',
        components: ['main'],
        architectures: ['amd64', 'i386'],
        trust: { kind: 'files', paths: ['/k.asc'] },
        checkValidUntil: undefined,
        osIds: [],
      },
      expect.objectContaining({
        uri: 'http://flat.test/',
        suite: './',
        trust: { kind: 'machine' },
      }),
    ]);
  });

  it('I1: that can not be used are left out with a remark', () => {
    for (const line of [
      'deb cdrom:[Debian]/ stable main',
      'deb file:/srv/debian stable main',
      'deb http://a.test/ ../../etc/ ',
      'deb http://a.test/ stable ../x',
      'deb http://a.test/ stable',
      'deb http://user:secret@a.test/ stable main',
      'deb http://a.test/',
    ]) {
      const { sources, remarks } = parseOneLineSources(`${line}\n`);
      expect([line, sources, remarks.length]).toEqual([line, [], 1]);
      expect(remarks.join()).not.toContain('secret');
    }
  });

  it('I2: nothing in a source switches signatures off', () => {
    const [one] = parseOneLineSources('deb [trusted=yes] http://a.test/ s m').sources;
    expect(one).toMatchObject({ trust: { kind: 'machine' } });
  });

  it('take keys inline and by fingerprint', () => {
    const key =
      '-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n AAAA\n -----END PGP PUBLIC KEY BLOCK-----';
    const base = 'Types: deb\nURIs: http://a.test\nSuites: s\nComponents: c\nSigned-By:';
    expect(parseDeb822Sources(`${base}\n ${key}\n`).sources[0]!.trust).toEqual({
      kind: 'inline',
      armoured:
        '\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----',
    });
    expect(parseDeb822Sources(`${base} abcd!, ef01\n`).sources[0]!.trust).toEqual({
      kind: 'fingerprints',
      fingerprints: ['ABCD', 'EF01'],
    });
  });
});

describe('Release', () => {
  const head = 'Origin: Debian\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n';

  it('is read with its table', () => {
    const text = `${head}Acquire-By-Hash: yes\nSHA256:\n ${HASH} 12 main/a\n junk\n ${HASH} x main/b\n`;
    const release = parseAptRelease(text);
    expect(release).toMatchObject({ origin: 'Debian', codename: 'bookworm', hasByHash: true });
    expect(release.dateMs).toBe(Date.UTC(2026, 6, 11, 10, 16, 37));
    expect([...release.files]).toEqual([['main/a', { sizeBytes: 12, sha256: HASH }]]);
  });

  it('I2: without SHA-256, or with a date that can not be read, is corrupt', () => {
    for (const text of ['', `${head}MD5Sum:\n x 1 a\n`, `${head}Valid-Until: soon\nSHA256:\n`]) {
      expect(() => parseAptRelease(text)).toThrow(/Release file is of no use/);
    }
  });

  it('I2: a file listed with two hashes is listed by none', () => {
    const other = HASH.replace('a', 'c');
    const text = `${head}SHA256:\n ${HASH} 1 a\n ${other} 1 a\n ${HASH} 1 a\n`;
    expect(parseAptRelease(text).files.size).toBe(0);
  });

  it('any other text is corrupt or a release', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        try {
          parseAptRelease(`SHA256:\n${text}`);
        } catch (error) {
          expect(isVmdnError(error, 'corrupt')).toBe(true);
        }
      }),
    );
  });

  it('in its clear-signed shape has nothing before or after it', () => {
    const message =
      '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: a\n' +
      '-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n';
    const isOne = (text: string): boolean => isOneClearsignedMessage(Buffer.from(text));
    expect(isOne(message)).toBe(true);
    expect(isOne(`Origin: evil\n${message}`)).toBe(false);
    expect(isOne(`${message}Origin: evil\n`)).toBe(false);
    expect(isOne(message + message)).toBe(false);
  });
});

describe('keys', () => {
  it('are dearmoured, several in one file too', () => {
    const mark = (word: string): string => `-----${word} PGP PUBLIC KEY BLOCK-----`;
    const block = (data: string): string =>
      `${mark('BEGIN')}\nComment: x\n\n${data}\n=abcd\n${mark('END')}\n`;
    const key = Buffer.from([0x99, 1, 2, 3]).toString('base64');
    const read = (text: string) => binaryKeyring(Buffer.from(text, 'latin1'));
    expect([...read(block(key) + block(key))!]).toEqual([0x99, 1, 2, 3, 0x99, 1, 2, 3]);
    expect([...read('\x99\x01')!]).toEqual([0x99, 1]);
    for (const text of ['', 'KBXf', block('AAAA'), block('')]) expect(read(text)).toBeNull();
  });
});

describe("apt's settings", () => {
  it('give proxies, by host and none', () => {
    const dump =
      'Acquire "";\nAcquire::http::Proxy "http://p.test:3142";\n' +
      'Acquire::http::Proxy::near.test "DIRECT";\nAcquire::https::Proxy "DIRECT";\n';
    expect(aptProxies(parseAptConfigDump(dump))).toEqual({
      http: 'http://p.test:3142',
      https: undefined,
      byHost: new Map([['near.test', null]]),
    });
    expect(aptProxies(parseAptConfigDump('Acquire::http::Proxy "http://p";')).https).toBe(
      'http://p',
    );
  });

  it('give places', () => {
    expect(parseAptConfigShell("LIST='/a b'\nX='it'\\''s'\nrubbish")).toEqual(
      new Map([
        ['LIST', '/a b'],
        ['X', "it's"],
      ]),
    );
  });
});
