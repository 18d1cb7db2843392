import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as nbd from './nbd.ts';
import * as served from './nbd-served.ts';

const name = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((text) => !text.includes('\0'));
const word = fc.nat({ max: 0xffff_ffff });

describe('what a server reads is what a client wrote', () => {
  test('the choice of an export', () => {
    fc.assert(
      fc.property(name, fc.array(fc.nat({ max: 0xffff }), { maxLength: 9 }), (export_, infos) => {
        const parsed = served.parseExportChoice(nbd.encodeGo(export_, infos));
        expect(parsed).toEqual({ name: export_, infos: new Set(infos) });
      }),
    );
  });

  test('a query for a context', () => {
    fc.assert(
      fc.property(name, name, (export_, query) => {
        const parsed = served.parseContextQueries(nbd.encodeMetaContext(export_, query));
        expect(parsed).toEqual({ name: export_, queries: [query] });
      }),
    );
  });

  test('a request, offsets up to the largest disk among them', () => {
    const offset = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, 2 ** 43));
    fc.assert(
      fc.property(offset, word, word, word, (offsetBytes, lengthBytes, generation, slot) => {
        const bytes = new Uint8Array(30);
        const sent = {
          command: nbd.CMD_READ,
          flags: 4,
          generation,
          slot,
          offsetBytes,
          lengthBytes,
        };
        nbd.writeRequest(new DataView(bytes.buffer, 2), sent);
        const request = emptyRequest();
        expect(served.readRequest(new DataView(bytes.buffer), 2, request)).toBe(true);
        expect(request).toEqual({
          flags: 4,
          command: nbd.CMD_READ,
          cookieHigh: generation,
          cookieLow: slot,
          offsetBytes,
          lengthBytes,
        });
      }),
    );
  });

  test('the greeting, and both kinds of information', () => {
    expect(nbd.parseGreeting(served.encodeGreeting())).toBe(3);
    expect(served.parseClientFlags(nbd.encodeClientFlags(3))).toEqual({ noZeroes: true });
    expect(served.parseClientFlags(nbd.encodeClientFlags(1))).toEqual({ noZeroes: false });
    expect(nbd.parseInfo(served.encodeInfoExport(2 ** 43, 7))).toEqual({
      kind: 'export',
      sizeBytes: 2n ** 43n,
      flags: 7,
    });
    const sizes = nbd.parseInfo(served.encodeInfoBlockSize(1, 2, 3));
    expect(sizes).toEqual({ kind: 'block-size', minBytes: 1, maxBytes: 3 });
    const context = served.encodeContext(9, nbd.CONTEXT_ALLOCATION);
    expect(nbd.parseMetaContext(context)).toEqual({ id: 9, name: 'base:allocation' });
    const reply = served.encodeOptionReply(nbd.OPT_LIST, nbd.REP_SERVER, served.encodeServer('x'));
    expect(nbd.parseOptionReply(reply)).toEqual({ option: 3, type: 2, lengthBytes: 5 });
  });

  test('errors and block status', () => {
    const view = new DataView(new ArrayBuffer(200));
    const cookie = { cookieHigh: 1, cookieLow: 2 };
    const error = { number: nbd.ERROR_EIO, words: new TextEncoder().encode('gone') };
    const end = served.writeError(view, 5, error, cookie, true);
    const payload = new Uint8Array(view.buffer, 25, end - 25);
    expect(nbd.parseErrorChunk(payload)).toEqual({ number: 5, message: 'gone' });
    expect(served.writeError(view, 5, error, cookie, false)).toBe(21);
    const last = served.writeBlockStatus(view, 0, 1, [512, 3, 4096, 0], cookie);
    const extents = nbd.parseExtents(new Uint8Array(view.buffer, 20, last - 20), 1);
    expect([...extents]).toEqual([512, 3, 4096, 0]);
  });
});

describe('I1, I2: parsing is total', () => {
  const parsers = [served.parseExportChoice, served.parseContextQueries, served.parseString];

  test('any bytes give a value or null', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        for (const parse of parsers) parse(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  test('a length that lies, and bytes left over, are no option data', () => {
    const go = nbd.encodeGo('disk', [3]);
    for (let length = 0; length < go.length; length += 1) {
      expect(served.parseExportChoice(go.subarray(0, length))).toBeNull();
    }
    expect(served.parseExportChoice(new Uint8Array([...go, 0]))).toBeNull();
    const contexts = nbd.encodeMetaContext('disk', 'base:allocation');
    const [count, length] = [8, 12];
    for (const at of [count, length]) {
      const lying = new Uint8Array(contexts).fill(0xff, at, at + 4);
      expect(served.parseContextQueries(lying)).toBeNull();
    }
    expect(served.parseContextQueries(contexts)?.queries).toHaveLength(1);
  });

  test('a string has no NUL, is UTF-8, and has at most 4096 bytes', () => {
    expect(served.parseString(Buffer.from('gr\u00fc\u00dfe'))).toBe('gr\u00fc\u00dfe');
    expect(served.parseString(Buffer.from([0xff, 0xfe]))).toBeNull();
    expect(served.parseString(Buffer.from('a\0b'))).toBeNull();
    expect(served.parseString(new Uint8Array(4096).fill(97))).toHaveLength(4096);
    expect(served.parseString(new Uint8Array(4097).fill(97))).toBeNull();
  });

  test('client flags that were not offered, and other magics, are no answer', () => {
    expect(served.parseClientFlags(nbd.encodeClientFlags(4))).toBeNull();
    expect(served.parseClientFlags(nbd.encodeClientFlags(0x8000_0001))).toBeNull();
    expect(served.parseOptionHeader(new Uint8Array(16))).toBeNull();
    expect(served.readRequest(new DataView(new ArrayBuffer(28)), 0, emptyRequest())).toBe(false);
  });
});

function emptyRequest(): served.Request {
  return { flags: 0, command: 0, cookieHigh: 0, cookieLow: 0, offsetBytes: 0, lengthBytes: 0 };
}
