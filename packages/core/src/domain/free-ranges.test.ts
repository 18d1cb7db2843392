import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { areFreeRanges, eachFreePart, FreeRangeBuilder, zeroFree } from './free-ranges.ts';

const SIZE = 4096;
/** Which bytes of a small disk are free. */
const freeBytes = fc.array(fc.tuple(fc.nat({ max: SIZE - 1 }), fc.integer({ min: 1, max: 300 })), {
  maxLength: 20,
});

function bytesOf(pieces: readonly (readonly [number, number])[]): Uint8Array {
  const free = new Uint8Array(SIZE);
  for (const [at, length] of pieces) free.fill(1, at, at + length);
  return free;
}

function rangesOf(free: Uint8Array): Float64Array {
  const builder = new FreeRangeBuilder();
  for (let at = 0; at < free.length; at += 1) builder.add(at, free[at]!);
  return builder.build();
}

describe('free ranges', () => {
  it('I1: are ascending and never touch, however they were added', () => {
    fc.assert(
      fc.property(freeBytes, (pieces) => {
        const ranges = rangesOf(bytesOf(pieces));
        expect(areFreeRanges(ranges, SIZE)).toBe(true);
        expect(areFreeRanges(ranges, SIZE - 1)).toBe(bytesOf(pieces)[SIZE - 1] === 0);
      }),
    );
  });

  it('say for any part of the disk how much of it is free, and make just that zero', () => {
    fc.assert(
      fc.property(freeBytes, fc.nat({ max: SIZE }), fc.nat({ max: 700 }), (pieces, at, most) => {
        const free = bytesOf(pieces);
        const ranges = rangesOf(free);
        const part = free.subarray(at, at + most);
        const bytes = new Uint8Array(part.length).fill(7);
        let found = 0;
        eachFreePart(ranges, bytes, at, ({ length }) => (found += length));
        expect(found).toBe(part.reduce((sum, one) => sum + one, 0));
        zeroFree(ranges, bytes, at);
        expect([...bytes]).toEqual([...part].map((one) => (one === 1 ? 0 : 7)));
      }),
    );
  });

  it.each([
    ['half a pair', [1]],
    ['one that is empty', [5, 0]],
    ['one that touches the one before it', [0, 5, 5, 5]],
    ['one that goes back', [10, 5, 3, 2]],
    ['one that leaves the disk', [SIZE - 1, 2]],
    ['no whole number', [0.5, 1]],
    ['no number', [Number.NaN, 1]],
  ])('I1: with %s are none', (_, pairs) => {
    expect(areFreeRanges(Float64Array.from(pairs), SIZE)).toBe(false);
  });
});
