import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSafeMirrorPath, urlBelow } from './mirror-path.ts';
import {
  createPackageLookupBuilder,
  openPackageLookup,
  type PackageKey,
} from './package-lookup.ts';
import { createPackagesIndexParser } from './packages-index.ts';

const HASH = 'ab'.repeat(32);
const place = { path: 'pool/a.deb', sizeBytes: 1, sha256: HASH, installedBytes: 2048 };

function lookupOf(keys: readonly PackageKey[]) {
  const builder = createPackageLookupBuilder();
  keys.forEach((key, at) => void builder.add(key, { ...place, sizeBytes: at + 1 }));
  return builder.finish();
}

/** Parses `text` in pieces of `step` bytes. */
function parse(text: string, step = 7) {
  const builder = createPackageLookupBuilder();
  const parser = createPackagesIndexParser(builder);
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0; at < bytes.length; at += step) parser.push(bytes.subarray(at, at + step));
  parser.end();
  return openPackageLookup(builder.finish());
}

describe('a lookup', () => {
  const word = fc.stringMatching(/^[a-z0-9+.~:-]{1,6}$/);
  const key = fc.record({ name: word, version: word, architecture: word });

  it('I1: finds each package that was added, and no other', () => {
    fc.assert(
      fc.property(fc.array(key, { maxLength: 60 }), key, (keys, other) => {
        const lookup = openPackageLookup(lookupOf(keys));
        const textOf = (item: PackageKey) => Object.values(item).join(' ');
        const texts = keys.map(textOf);
        for (const item of keys) {
          const size = lookup.find(item)!.sizeBytes;
          expect(texts[size - 1]).toBe(textOf(item));
        }
        expect(lookup.find(other) === undefined).toBe(!texts.includes(textOf(other)));
      }),
    );
  });

  it('I2: leaves out what could forge a line or leave the repository', () => {
    const good = { name: 'a', version: '1', architecture: 'all' };
    const builder = createPackageLookupBuilder();
    builder.add({ ...good, name: 'a\tb' }, place);
    builder.add({ ...good, version: '1\n' }, place);
    builder.add({ ...good, architecture: '' }, place);
    builder.add(good, { ...place, path: '../a' });
    builder.add(good, { ...place, sha256: HASH.slice(1) });
    builder.add(good, { ...place, sizeBytes: Number.NaN });
    builder.add(good, { ...place, sizeBytes: 0 });
    expect(builder.finish().length).toBe(87);
  });

  it('I3: that is damaged or cut short is corrupt', () => {
    const file = lookupOf([{ name: 'a', version: '1', architecture: 'all' }]);
    expect(() => openPackageLookup(file.subarray(0, -1))).toThrow(/damaged/);
    file[100]! ^= 1;
    expect(() => openPackageLookup(file)).toThrow(/damaged/);
    expect(() => openPackageLookup(new Uint8Array())).toThrow(/damaged/);
  });
});

describe('a Packages file', () => {
  const stanza = `Package: nginx
Architecture: amd64
Version: 1.22.1-9+deb12u2
Installed-Size: 3
Description: a server
 Version: 9
Filename: pool/main/n/nginx.deb
Size: 527000
SHA256: ${HASH}
`;
  const key = { name: 'nginx', version: '1.22.1-9+deb12u2', architecture: 'amd64' };
  const expected = {
    path: 'pool/main/n/nginx.deb',
    sizeBytes: 527_000,
    sha256: HASH,
    installedBytes: 3072,
  };

  it.each([1, 7, 100, 10_000])('is read in pieces of %i bytes', (step) => {
    expect(parse(`${stanza}\n${stanza.replace('nginx', 'other')}`, step).find(key)).toEqual(
      expected,
    );
    expect(parse(stanza.replaceAll('\n', '\r\n'), step).find(key)).toEqual(expected);
  });

  it.each(['Package', 'Version', 'Architecture', 'Filename', 'Size', 'SHA256'])(
    'without %s leaves that package out',
    (field) => {
      expect(parse(`\n${stanza}`.replace(`\n${field}:`, '\nX-Other:')).find(key)).toBeUndefined();
    },
  );

  it('I2: a line without an end is hostile', () => {
    const parser = createPackagesIndexParser(createPackageLookupBuilder());
    expect(() => {
      for (let at = 0; at < 40; at += 1) parser.push(Buffer.alloc(65_536, 0x61));
    }).toThrow(/far too long/);
  });

  it('I1: a stanza of many megabytes costs a line', () => {
    const builder = createPackageLookupBuilder();
    const parser = createPackagesIndexParser(builder);
    const line = Buffer.from(`Filler: ${'x'.repeat(1000)}\n`);
    parser.push(Buffer.from(stanza));
    for (let at = 0; at < 10_000; at += 1) parser.push(line);
    parser.end();
    expect(openPackageLookup(builder.finish()).find(key)).toEqual(expected);
  });

  it('I2: of other shapes leaves packages out and throws nothing else', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary-ascii' }),
        fc.integer({ min: 1, max: 9 }),
        (text, step) => {
          expect(parse(`${stanza}\n${text}`, step).find(key)).toBeDefined();
        },
      ),
    );
  });
});

describe('a path in an index', () => {
  it.each([
    '../etc/passwd',
    'a/../../b',
    'a/./b',
    '/etc/passwd',
    '//evil.test/a',
    'http://evil.test/a',
    'file:a',
    'a\\..\\b',
    'a%2f..%2fb',
    '%2e%2e/a',
    'a/%2E%2e/b',
    'a\0b',
    'a%00b',
    'a?b',
    'a#b',
    'a b',
    'a//b',
    '',
    'é',
    'x'.repeat(2000),
  ])('I1: %j is refused', (path) => {
    expect(isSafeMirrorPath(path)).toBe(false);
    expect(urlBelow('http://m.test/debian/', path, 'rpm')).toBeUndefined();
  });

  it('is quoted as apt quotes it; rpm locations may be quoted already', () => {
    const base = 'http://m.test/debian/';
    expect(urlBelow(base, 'pool/a_1%3a2+b~c.deb', 'deb')).toBe(`${base}pool/a_1%253a2%2Bb~c.deb`);
    expect(urlBelow(base, './Packages/a%2Bb^1.rpm', 'rpm')).toBe(`${base}Packages/a%2Bb%5E1.rpm`);
  });

  it('I2: whatever it is, its URL lies below the base', () => {
    const base = 'http://m.test/debian/';
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('.', '/', '%', '2', 'e', 'f', '\\', ':', 'a', '@') }),
        fc.constantFrom('deb' as const, 'rpm' as const),
        (path, format) => {
          const url = urlBelow(base, path, format);
          expect(url?.startsWith(base) ?? true).toBe(true);
          expect(url === undefined || !decodeURIComponent(url).includes('/../')).toBe(true);
        },
      ),
    );
  });
});
