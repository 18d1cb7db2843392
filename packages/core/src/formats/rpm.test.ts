import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VmdnError } from '../domain/errors.ts';
import { cpioMembers, type PayloadSizes } from './cpio.ts';
import { cpioOf, membersIn, rpmHeaderOf } from './package.fixture.ts';
import { checkRpmLead, parseRpmHeader, RPM_INTRO_BYTES, rpmHeaderBytes } from './rpm.ts';

const FILE = 0o100644;
const LINK = 0o120777;
const DIRECTORY = 0o040755;

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'fine';
  } catch (error) {
    return error instanceof VmdnError ? error.code : `not ours: ${String(error)}`;
  }
}

const parsed = (header: Buffer) =>
  parseRpmHeader(header.subarray(0, RPM_INTRO_BYTES), header.subarray(RPM_INTRO_BYTES));

describe('cpio', () => {
  test('I2: members are found however the stream is cut, links have no content, the trailer ends it', () => {
    const entries = fc.array(
      fc.record({
        path: fc.stringMatching(/^\.\/[a-z]{1,40}$/),
        mode: fc.constantFrom(FILE, LINK, DIRECTORY),
        content: fc.uint8Array({ maxLength: 300 }),
      }),
      { maxLength: 8 },
    );
    const pieces = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(entries, pieces, (given, cuts) => {
        const stream = Buffer.concat([cpioOf(given), Buffer.alloc(300)]);
        const expected = given.map(({ path, mode, content }) => ({
          path,
          kind: mode === FILE ? 'file' : 'other',
          content: Buffer.from(mode === FILE ? content : []),
        }));
        expect(membersIn(cpioMembers([]), stream, cuts)).toEqual(expected);
      }),
    );
    const cut = cpioOf([{ path: './a', mode: FILE }]).subarray(0, 116);
    expect(codeOf(() => membersIn(cpioMembers([]), cut, [999]))).toBe('corrupt');
  });

  test('rpm’s stripped form takes the sizes from the header', () => {
    const sizes: PayloadSizes = [
      { isFile: true, payloadBytes: 5 },
      { isFile: false, payloadBytes: 3 },
      { isFile: true, payloadBytes: 0 },
    ];
    const stream = Buffer.concat([
      Buffer.from('07070X00000002\0\0'),
      Buffer.from('07070X00000001\0\0abc\0'),
      Buffer.from('07070X00000000\0\0hello\0\0\0'),
      cpioOf([]),
    ]);
    expect(membersIn(cpioMembers(sizes), stream, [7])).toEqual([
      { path: '#2', kind: 'file', content: Buffer.alloc(0) },
      { path: '#0', kind: 'file', content: Buffer.from('hello') },
    ]);
    const wrong = Buffer.concat([Buffer.from('07070X00000003\0\0'), cpioOf([])]);
    expect(codeOf(() => membersIn(cpioMembers(sizes), wrong, [7]))).toBe('corrupt');
  });

  test('I1: any damage gives members or one of our errors', () => {
    const whole = cpioOf([
      { path: './a', mode: FILE, content: Buffer.alloc(40, 1) },
      { path: './b', mode: LINK, content: Buffer.from('a') },
    ]);
    const damage = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 48, 49, 88, 102, 255)), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(damage, fc.nat(), (changes, cut) => {
        const stream = Buffer.from(whole);
        for (const [at, value] of changes) stream[at % stream.length] = value;
        const part = stream.subarray(0, stream.length - (cut % 50));
        const code = codeOf(() => membersIn(cpioMembers([]), part, [33]));
        expect(['fine', 'corrupt', 'too_large']).toContain(code);
      }),
      { numRuns: 500 },
    );
  });
});

describe('rpm headers', () => {
  test('compressor and format are read; a header of old means gzip and cpio', () => {
    const header = rpmHeaderOf([
      [1124, 'cpio'],
      [1125, 'zstd'],
    ]);
    expect(parsed(header)).toMatchObject({ payloadCompressor: 'zstd', payloadFormat: 'cpio' });
    expect(parsed(rpmHeaderOf([]))).toEqual({
      payloadCompressor: 'gzip',
      payloadFormat: 'cpio',
      payloadSizes: [],
    });
  });

  test('of hard links the last one has the content, links have their target, directories nothing', () => {
    const header = rpmHeaderOf([
      [1030, [FILE, FILE, LINK, DIRECTORY, FILE], 2],
      [1037, [0, 0, 0, 0, 0]],
      [1095, [1, 1, 1, 1, 1]],
      [1096, [7, 7, 8, 9, 10]],
      [5008, [2 ** 33, 2 ** 33, 4, 4096, 6], 8],
    ]);
    expect(parsed(header).payloadSizes).toEqual([
      { isFile: true, payloadBytes: 0 },
      { isFile: true, payloadBytes: 2 ** 33 },
      { isFile: false, payloadBytes: 4 },
      { isFile: false, payloadBytes: 0 },
      { isFile: true, payloadBytes: 6 },
    ]);
  });

  test('I1: leads and headers of other things are corrupt, too many tags too_large', () => {
    const lead = Buffer.alloc(96);
    expect(codeOf(() => checkRpmLead(lead))).toBe('corrupt');
    lead.writeUInt32BE(0xedabeedb, 0);
    lead[4] = 3;
    expect(codeOf(() => checkRpmLead(lead))).toBe('fine');
    lead[7] = 1;
    expect(codeOf(() => checkRpmLead(lead))).toBe('corrupt');
    const intro = Buffer.from(rpmHeaderOf([]).subarray(0, 16));
    intro.writeUInt32BE(70_000, 8);
    expect(codeOf(() => rpmHeaderBytes(intro))).toBe('too_large');
    intro.writeUInt32BE(1, 8);
    intro.writeUInt32BE(2 ** 31, 12);
    expect(codeOf(() => rpmHeaderBytes(intro))).toBe('too_large');
    expect(codeOf(() => rpmHeaderBytes(intro.fill(0)))).toBe('corrupt');
  });

  test('I1: any damage gives a header or one of our errors', () => {
    const whole = rpmHeaderOf([
      [1124, 'cpio'],
      [1125, 'xz'],
      [1028, [1, 2, 3]],
      [1030, [FILE, FILE, LINK], 2],
      [1096, [1, 1, 2]],
    ]);
    const damage = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 3, 6, 127, 255)), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(damage, (changes) => {
        const header = Buffer.from(whole);
        for (const [at, value] of changes) header[16 + (at % (header.length - 16))] = value;
        expect(['fine', 'corrupt', 'too_large']).toContain(codeOf(() => parsed(header)));
      }),
      { numRuns: 1000 },
    );
  });
});
