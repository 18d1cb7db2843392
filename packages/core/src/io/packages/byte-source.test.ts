import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteSource } from './byte-source.ts';

async function* chunks(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const length = lengths[i % lengths.length]!;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

describe('a source of bytes', () => {
  test('any sequence of reads gives the stream, however it is cut', async () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 });
    const reads = fc.array(fc.tuple(fc.constantFrom('take', 'skip', 'pass'), fc.nat(30)));
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        cuts,
        reads,
        async (bytes, lengths, plan) => {
          const source = new ByteSource(chunks(bytes, lengths));
          let at = 0;
          for (const [kind, length] of plan) {
            if (at + length > bytes.length) break;
            const expected = Buffer.from(bytes.subarray(at, at + length));
            if (kind === 'take') expect(await source.take(length)).toEqual(expected);
            else if (kind === 'skip') await source.skip(length);
            else {
              for await (const _ of source.pass(length)) break;
              await source.skipRest();
            }
            at += length;
          }
          const rest = await Array.fromAsync(source.pass(Number.POSITIVE_INFINITY));
          expect(Buffer.concat(rest)).toEqual(Buffer.from(bytes.subarray(at)));
        },
      ),
    );
  });

  test('I1: a stream that ends too early is corrupt', async () => {
    const source = new ByteSource(chunks(new Uint8Array(10), [3]));
    await expect(source.take(11)).rejects.toMatchObject({ code: 'corrupt' });
  });
});
