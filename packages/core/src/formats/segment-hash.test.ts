import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { diskOf, referenceRecipe, seededBytes, sha256 } from './recipe.fixture.ts';
import {
  blockKeyInto,
  describeSegmentInto,
  isZero,
  segmentHashInto,
  segmentMatches,
} from './segment-hash.ts';

const lengths = fc.constantFrom(512, 1024, 4096, 4608, 65_024, 65_536);

describe('hashes of segments and blocks', () => {
  test('I3: one byte anywhere makes bytes not zero', () => {
    const length = fc.oneof(lengths, fc.nat({ max: 200_000 }));
    fc.assert(
      fc.property(length, fc.nat(), fc.integer({ min: 1, max: 255 }), (size, spot, value) => {
        const bytes = new Uint8Array(size);
        expect(isZero(bytes)).toBe(true);
        if (size === 0) return;
        bytes[spot % size] = value;
        expect(isZero(bytes)).toBe(false);
      }),
    );
  });

  test('I1, I2: a segment is described as an independent reading does it, shared memory too', () => {
    const writes = fc.array(
      fc.record({ at: fc.nat(127), length: fc.integer({ min: 1, max: 20 }), seed: fc.nat(9) }),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(lengths, writes, fc.boolean(), fc.nat(5), (length, places, isShared, row) => {
        const bytes = diskOf(length / 512, places);
        const segment = isShared ? new Uint8Array(new SharedArrayBuffer(length)) : bytes;
        segment.set(bytes);
        const expected = referenceRecipe(bytes);
        const columns = {
          hashes: new Uint8Array(8 * 32),
          masks: new Uint16Array(8),
          keys: new Uint32Array(64),
        };
        const count = describeSegmentInto(segment, columns, row, 3);
        expect(count * 2).toBe(expected.keys.length);
        expect(columns.keys.slice(6, 6 + count * 2)).toEqual(expected.keys);
        expect(columns.masks[row]).toBe(expected.blockMasks[0] ?? 0);
        const hash = columns.hashes.slice(row * 32, row * 32 + 32);
        if (count > 0) expect(hash).toEqual(expected.segmentHashes);
        else expect(columns.hashes.every((byte) => byte === 0)).toBe(true);
      }),
    );
  });

  test('a segment matches its own row, no other row and no row outside', () => {
    const segment = seededBytes('a', 65_536);
    const hashes = new Uint8Array(3 * 32);
    segmentHashInto(segment, hashes, 32);
    expect(Buffer.from(hashes.subarray(32, 64)).equals(sha256(segment))).toBe(true);
    expect([-1, 0, 1, 2, 3, 0.5].map((row) => segmentMatches(segment, hashes, row))).toEqual([
      false,
      false,
      true,
      false,
      false,
      false,
    ]);
    for (let bit = 0; bit < 256; bit += 1) {
      hashes[32 + (bit >> 3)]! ^= 1 << (bit & 7);
      expect(segmentMatches(segment, hashes, 1)).toBe(false);
      hashes[32 + (bit >> 3)]! ^= 1 << (bit & 7);
    }
    expect(segmentMatches(segment.subarray(0, -512), hashes, 1)).toBe(false);
  });

  test('I2: the key of a short block is that of the block padded with zeros', () => {
    const short = seededBytes('short', 1536);
    const padded = new Uint8Array(4096);
    padded.set(short);
    const keys = new Uint32Array(4);
    blockKeyInto(short, keys, 0);
    blockKeyInto(padded, keys, 1);
    expect(keys.slice(0, 2)).toEqual(keys.slice(2));
    expect(keys[0]).toBe(sha256(padded).readUInt32LE(0));
  });
});
