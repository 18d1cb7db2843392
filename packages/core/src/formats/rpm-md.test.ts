import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import { createPackageLookupBuilder, openPackageLookup } from './package-lookup.ts';
import { createPrimaryParser, normalRpmVersion, parseRepomd } from './rpm-md.ts';
import { fillRepoVariables, parseRepoFile } from './rpm-repo-file.ts';

const HASH = 'cd'.repeat(32);

const REPOMD = `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo">
  <revision>1</revision>
  <data type="filelists"><checksum type="sha256">${'0'.repeat(64)}</checksum><location href="f"/></data>
  <data type="primary">
    <checksum type="sha256">${HASH}</checksum>
    <open-checksum type="sha256">${'1'.repeat(64)}</open-checksum>
    <location href="repodata/p-primary.xml.gz"/>
    <timestamp>1</timestamp><size>134</size><open-size>1340</open-size>
  </data>
</repomd>`;

const PACKAGE = `<package type="rpm">
  <name>nano</name><arch>x86_64</arch><version epoch="0" ver="5.6" rel="5.el9"/>
  <checksum type="sha256" pkgid="YES">${HASH}</checksum>
  <summary>A &lt;small&gt; editor &amp; more</summary><!-- > a comment -->
  <size package="700" installed="2800" archive="3000"/>
  <location href="Packages/n/nano-5.6-5.el9.x86_64.rpm"/>
  <format><rpm:provides><rpm:entry name="nano" ver='>"5'/></rpm:provides><name>other</name></format>
</package>`;
const PRIMARY = `<?xml version="1.0"?>\n<metadata packages="1">${PACKAGE}</metadata>\n`;
const KEY = { name: 'nano', version: '5.6-5.el9', architecture: 'x86_64' };
const PLACE = {
  path: 'Packages/n/nano-5.6-5.el9.x86_64.rpm',
  sizeBytes: 700,
  sha256: HASH,
  installedBytes: 2800,
};

function parse(text: string, step = 11) {
  const builder = createPackageLookupBuilder();
  const parser = createPrimaryParser(builder);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += step) parser.push(bytes.subarray(at, at + step));
  parser.end();
  return openPackageLookup(builder.finish());
}

describe('repomd.xml', () => {
  it('names primary with its sizes', () => {
    expect(parseRepomd(Buffer.from(REPOMD))).toEqual({
      path: 'repodata/p-primary.xml.gz',
      sha256: HASH,
      sizeBytes: 134,
      openSizeBytes: 1340,
    });
  });

  it.each([
    ['no SHA-256', REPOMD.replaceAll('type="sha256"', 'type="sha1"')],
    ['another server', REPOMD.replace('href="repo', 'xml:base="http://evil.test" href="repo')],
    ['no primary', REPOMD.replace('"primary"', '"other"')],
  ])('I1: with %s is corrupt', (_, text) => {
    expect(() => parseRepomd(Buffer.from(text))).toThrow(/no primary file/);
  });
});

describe('primary.xml', () => {
  it.each([1, 11, 100_000])('is read in pieces of %i bytes', (step) => {
    expect(parse(PRIMARY, step).find(KEY)).toEqual(PLACE);
  });

  it('gives versions with an epoch only where there is one', () => {
    const lookup = parse(PRIMARY.replace('epoch="0"', 'epoch="2"'));
    expect(lookup.find({ ...KEY, version: '2:5.6-5.el9' })).toEqual(PLACE);
    expect(['0:1-2', '(none):1-2', '1-2', '3:1-2'].map(normalRpmVersion)).toEqual([
      '1-2',
      '1-2',
      '1-2',
      '3:1-2',
    ]);
  });

  it.each([
    ['I1: another checksum', PRIMARY.replace('type="sha256"', 'type="sha1"')],
    ['I2: another server', PRIMARY.replace('<location ', '<location xml:base="http://e.test/" ')],
    ['I2: source', PRIMARY.replace('<arch>x86_64', '<arch>src')],
    ['a path that escapes', PRIMARY.replace('Packages/n', '../..')],
  ])('%s: the package is left out', (_, text) => {
    expect(parse(text).find(KEY)).toBeUndefined();
  });

  it.each([
    ['a document type', `<!DOCTYPE a [<!ENTITY b "c">]>${PRIMARY}`],
    ['an end that does not come', PRIMARY.slice(0, -14)],
    ['tags that do not nest', PRIMARY.replace('</arch>', '</name>')],
    ['a depth without an end', '<a>'.repeat(100)],
    ['a tag without an end', `<a b="${'x'.repeat(3_000_000)}`],
    ['text without an end', `<a>${'x'.repeat(3_000_000)}`],
  ])('with %s is hostile', (_, text) => {
    expect(() => parse(text, 65_536)).toThrow(/XML is refused/);
  });

  it('any other text is hostile or read', () => {
    const unit = fc.constantFrom(
      '<',
      '>',
      '/',
      '!',
      '-',
      '[',
      'a',
      '"',
      '=',
      ' ',
      '&',
      ';',
      '#',
      '?',
    );
    fc.assert(
      fc.property(fc.string({ unit }), fc.integer({ min: 1, max: 5 }), (text, step) => {
        try {
          parse(`<m>${text}</m>`, step);
        } catch (error) {
          expect(isVmdnError(error, 'hostile_format')).toBe(true);
        }
      }),
    );
  });
});

describe('.repo files', () => {
  it('are read; I2: what is not signed must be said', () => {
    const { sources, remarks } = parseRepoFile(`[main]
x=1
[baseos]
name=Base
baseurl=https://m.test/$releasever/BaseOS/\${basearch}/os/
  http://other.test/
gpgkey=file:///keys/rocky https://m.test/key
vmdn_os=rocky
[open]
baseurl=http://m.test/open
repo_gpgcheck=0
[keyless]
baseurl=http://m.test/x
[remote-key]
baseurl=http://m.test/x
gpgkey=https://m.test/key
[off]
baseurl=http://m.test/off
enabled=0
[lists]
metalink=https://m.test/list
repo_gpgcheck=0
`);
    expect(sources.map(({ id, mustBeSigned }) => [id, mustBeSigned])).toEqual([
      ['baseos', true],
      ['open', false],
    ]);
    expect(sources[0]).toMatchObject({ keyPaths: ['/keys/rocky'], osIds: ['rocky'] });
    expect(remarks.map((remark) => /repository (\S+)/.exec(remark)![1])).toEqual([
      'keyless',
      'remote-key',
      'lists',
    ]);
    const values = { releasever: '9', basearch: 'x86_64' };
    expect(sources[0]!.baseUrls.map((url) => fillRepoVariables(url, values))).toEqual([
      'https://m.test/9/BaseOS/x86_64/os/',
      'http://other.test/',
    ]);
  });

  it.each(['', '../..', '9/../..', '9?x', 'a b'])(
    'a release %j of a guest fills nothing',
    (releasever) => {
      const url = 'http://m.test/$releasever/os/';
      expect(fillRepoVariables(url, { releasever, basearch: 'x86_64' })).toBeUndefined();
      expect(
        fillRepoVariables('http://m.test/$uuid/', { releasever, basearch: 'x' }),
      ).toBeUndefined();
    },
  );
});
