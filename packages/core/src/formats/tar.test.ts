import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VmdnError } from '../domain/errors.ts';
import {
  type Entry,
  membersIn,
  paxRecord,
  tarHeader,
  tarMember,
  tarOf,
} from './package.fixture.ts';
import { tarMembers } from './tar.ts';

const end = Buffer.alloc(1024);
const listed = (tar: Uint8Array, pieces: readonly number[] = [70_000]) =>
  membersIn(tarMembers(), tar, pieces);

const pathOf = (maxLength: number) =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength })
    .map((bytes) => String.fromCharCode(...bytes));
const anEntry: fc.Arbitrary<Entry> = fc.record({
  path: fc.oneof(pathOf(30), pathOf(300)),
  type: fc.constantFrom('0', '0', '1', '2', '5'),
  content: fc.uint8Array({ maxLength: 1500 }),
});
const entries = fc
  .array(anEntry, { maxLength: 8 })
  .map((all) =>
    all.map((one) => (one.type === '0' ? one : { ...one, content: new Uint8Array(0) })),
  );
const pieces = fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 5 });

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'fine';
  } catch (error) {
    return error instanceof VmdnError ? error.code : `not ours: ${String(error)}`;
  }
}

describe('tar', () => {
  test('every archive yields its members, however it is cut and long names are told', () => {
    fc.assert(
      fc.property(entries, pieces, fc.constantFrom('gnu', 'pax'), (given, cuts, style) => {
        const expected = given.map(({ path, type, content }) => ({
          path,
          kind: type === '0' ? 'file' : 'other',
          content: Buffer.from(content!),
        }));
        expect(listed(tarOf(given, style as 'gnu'), cuts)).toEqual(expected);
      }),
    );
  });

  test('a ustar prefix, a base-256 size, a pax size and tar of old are understood', () => {
    const long = tarHeader('name', '0', 0, (header) => header.write('a/prefix', 345, 'latin1'));
    expect(listed(Buffer.concat([long, end]))[0]?.path).toBe('a/prefix/name');
    const big = tarHeader('big', '0', 0, (header) => {
      header.fill(0, 124, 136);
      header[124] = 0x80;
      header[135] = 3;
    });
    const three = Buffer.concat([Buffer.from('abc'), Buffer.alloc(509)]);
    expect(listed(Buffer.concat([big, three, end]))[0]?.content.toString()).toBe('abc');
    const size = paxRecord('size', '3');
    const pax = Buffer.concat([
      tarHeader('x', 'x', size.length),
      size,
      Buffer.alloc(512 - size.length),
    ]);
    const told = Buffer.concat([pax, tarHeader('told', '0', 0), three, end]);
    expect(listed(told)[0]?.content.toString()).toBe('abc');
    const old = (header: Buffer): void => {
      header.fill(0, 257, 265);
      header.write('not a prefix', 345, 'latin1');
    };
    const directory = Buffer.concat([tarHeader('old/', '\0', 0, old), end]);
    expect(listed(directory)).toEqual([{ path: 'old/', kind: 'other', content: Buffer.alloc(0) }]);
  });

  test('I3: the archive ends at a block of zeros, or where the stream ends between members', () => {
    const one = tarMember({ path: 'a', content: Buffer.from('x') });
    expect(listed(one).length).toBe(1);
    expect(listed(Buffer.concat([one, end, one, Buffer.from('rubbish')])).length).toBe(1);
    for (const cut of [1, 511, 513, 1023]) {
      expect(codeOf(() => listed(one.subarray(0, cut)))).toBe('corrupt');
    }
  });

  test('I2: sparse files are refused, in both ways of telling', () => {
    expect(codeOf(() => listed(tarMember({ path: 'a', type: 'S' })))).toBe('corrupt');
    const records = paxRecord('GNU.sparse.major', '1');
    const pax = [tarHeader('x', 'x', records.length), records, Buffer.alloc(512 - records.length)];
    expect(codeOf(() => listed(Buffer.concat([...pax, end])))).toBe('corrupt');
  });

  test('I1: what is wrong is corrupt, what is too long is too_large', () => {
    const pax = (bytes: Buffer, type = 'x'): Buffer =>
      Buffer.concat([tarMember({ path: 'x', type, content: bytes }), tarHeader('b', '0', 0)]);
    const bad: Readonly<Record<string, Buffer>> = {
      'a wrong checksum': Buffer.from(tarHeader('a', '0', 0)).fill(1, 0, 1),
      'a number': tarHeader('a', '0', 0, (header) => header.write('9', 124, 'latin1')),
      'a negative number': tarHeader('a', '0', 0, (header) => header.fill(0xff, 124, 136)),
      'no name': tarHeader('', '0', 0),
      'an unknown type': tarHeader('a', 'Z', 0),
      'a directory with content': tarMember({ path: 'a', type: '5', content: Buffer.alloc(1) }),
      'a link with content': tarMember({ path: 'a', type: '1', content: Buffer.alloc(1) }),
      'a pax length': pax(Buffer.from('99 path=x\n')),
      'a pax length of nothing': pax(Buffer.from('0 path=x\n')),
      'a pax record without a name': pax(Buffer.from('5 xx\n')),
      'a NUL in a pax path': pax(paxRecord('path', 'a\0b')),
      'a pax size': pax(paxRecord('size', '-1')),
      'a global path': pax(paxRecord('path', 'everybody'), 'g'),
      'a long name of nobody': tarMember({ path: 'a'.repeat(200) }).subarray(0, 1024),
    };
    for (const [what, bytes] of Object.entries(bad)) {
      expect(
        codeOf(() => listed(bytes)),
        what,
      ).toBe('corrupt');
      const whole = Buffer.concat([bytes, end]);
      expect(
        codeOf(() => listed(whole)),
        what,
      ).toBe('corrupt');
    }
    const long: Readonly<Record<string, Buffer>> = {
      'a GNU name': tarHeader('a', 'L', 5000),
      'a pax header': tarHeader('a', 'x', 2 ** 20),
      'a pax path': pax(paxRecord('path', 'a'.repeat(5000))),
      'a file': tarHeader('a', '0', 2 ** 33 - 1, (header) => {
        header.fill(0, 124, 136);
        header[124] = 0x80;
        header[130] = 1;
      }),
    };
    for (const [what, bytes] of Object.entries(long)) {
      const whole = Buffer.concat([bytes, tarHeader('b', '0', 0), end]);
      expect(
        codeOf(() => listed(whole)),
        what,
      ).toBe('too_large');
    }
  });

  test('I1: any damage gives members or one of our errors', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
    fc.assert(
      fc.property(entries, damage, fc.nat(), fc.boolean(), (given, changes, cut, isSummed) => {
        const tar = tarOf(given, 'pax');
        for (const [at, value] of changes) tar[at % tar.length] = value;
        for (let at = 0; isSummed && at + 512 <= tar.length; at += 512) fixChecksum(tar, at);
        const code = codeOf(() => listed(tar.subarray(0, cut % tar.length)));
        expect(['fine', 'corrupt', 'too_large']).toContain(code);
      }),
      { numRuns: 500 },
    );
  });
});

/** Makes the checksum of a block right, so that damage reaches what lies behind it. */
function fixChecksum(tar: Buffer, at: number): void {
  if (tar.subarray(at + 257, at + 262).toString('latin1') !== 'ustar') return;
  tar.fill(0x20, at + 148, at + 156);
  let sum = 0;
  for (const byte of tar.subarray(at, at + 512)) sum += byte;
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
}
