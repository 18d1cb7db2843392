import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FreeRangeBuilder } from '../domain/free-ranges.ts';
import { decodeFreeMap, encodeFreeMap } from './free-map.ts';

const SIZE = 8 * 2 ** 40;
const gaps = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 2 ** 36 }), fc.integer({ min: 1, max: 2 ** 36 })),
  { maxLength: 40 },
);

function rangesOf(pieces: readonly (readonly [number, number])[]): Float64Array {
  const builder = new FreeRangeBuilder();
  let at = 0;
  for (const [gap, length] of pieces) {
    builder.add(at + gap, length);
    at += gap + length;
  }
  return builder.build();
}

describe('a map of free space', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(gaps, (pieces) => {
        const ranges = rangesOf(pieces);
        expect(decodeFreeMap(encodeFreeMap(ranges, SIZE), SIZE)).toEqual(ranges);
      }),
    );
  });

  it('I1: is corrupt with any byte changed, cut off or added, and for a disk of another size', () => {
    const bytes = encodeFreeMap(rangesOf([[5, 7]]), 512);
    expect(() => decodeFreeMap(bytes, 1024)).toThrow(/damaged/);
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = bytes.slice();
      changed[at]! ^= 1;
      expect(() => decodeFreeMap(changed, 512), String(at)).toThrow(/damaged/);
      expect(() => decodeFreeMap(bytes.subarray(0, at), 512)).toThrow(/damaged/);
    }
    expect(() => decodeFreeMap(Uint8Array.of(...bytes, 0), 512)).toThrow(/damaged/);
    const outside = encodeFreeMap(Float64Array.of(500, 100), 512);
    expect(() => decodeFreeMap(outside, 512)).toThrow(/damaged/);
  });
});
