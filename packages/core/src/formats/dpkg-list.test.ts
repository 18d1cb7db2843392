import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VmdnError } from '../domain/errors.ts';
import { AR_HEADER_BYTES, parseArHeader } from './ar.ts';
import { DpkgList, dpkgPath } from './dpkg-list.ts';
import { arOf } from './package.fixture.ts';

describe('the file list of dpkg', () => {
  test('members are named as dpkg names them', () => {
    const names: readonly (readonly [string, string])[] = [
      ['./', '/.'],
      ['.', '/.'],
      ['./usr/', '/usr'],
      ['./usr/share/doc/x', '/usr/share/doc/x'],
      ['usr/bin/y', '/usr/bin/y'],
      ['/usr/bin/z', '/usr/bin/z'],
      ['././usr//./', '/usr'],
      ['./.config', '/.config'],
      ['./a.', '/a.'],
      ['/', '/'],
    ];
    for (const [path, name] of names) expect(dpkgPath(path), path).toBe(name);
  });

  test('I1: any name gives one line, with its bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 })), (names) => {
        const list = new DpkgList();
        const paths = names.map((name) => `./x${Buffer.from(name).toString('latin1')}y`);
        for (const path of paths) list.add(path);
        const expected = paths.map((path) => `${path.slice(1)}\n`).join('');
        expect(Buffer.from(list.bytes).toString('latin1')).toBe(expected);
      }),
    );
    fc.assert(
      fc.property(fc.stringMatching(/^[./a]{1,12}$/), (path) => {
        expect(dpkgPath(path).startsWith('/')).toBe(true);
      }),
    );
  });

  test('I2: a list beyond its limit is too_large', () => {
    const list = new DpkgList();
    const long = `./${'a'.repeat(4000)}`;
    const fill = (): void => {
      for (let i = 0; i < 20_000; i += 1) list.add(long);
    };
    expect(fill).toThrow(expect.objectContaining({ code: 'too_large' }));
  });
});

describe('ar headers', () => {
  test('I1, I2: a member has a plain name and a size; anything else is corrupt', () => {
    const header = arOf([['data.tar.xz', Buffer.alloc(1234)]]).subarray(8, 8 + AR_HEADER_BYTES);
    expect(parseArHeader(header)).toEqual({ name: 'data.tar.xz', sizeBytes: 1234 });
    const slashed = Buffer.from(header);
    slashed.write('data.tar.xz/', 0, 'latin1');
    expect(parseArHeader(slashed).name).toBe('data.tar.xz');
    for (const name of ['/12', '#1/12', '', '../x']) {
      const wrong = Buffer.from(header);
      wrong.write(name.padEnd(16), 0, 'latin1');
      expect(() => parseArHeader(wrong)).toThrow(VmdnError);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        expect(() => parseArHeader(bytes)).toThrow(VmdnError);
      }),
    );
  });
});
