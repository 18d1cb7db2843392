import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import { isSegmentNonZero } from '../domain/recipe.ts';
import { digestOfRecipe } from './disk-digest.ts';
import { keysRootOfRecipe, pageCount } from './key-pages.ts';
import { diskOf, referenceRecipe } from './recipe.fixture.ts';
import {
  createRangeProver,
  decodeKeyRange,
  decodeSegmentRange,
  encodeRecipeRange,
} from './recipe-range.ts';

// 18.3 MiB: 293 segments, 5 key pages, a short last block.
const disk = diskOf(37_451, [
  { at: 3, length: 300, seed: 1 },
  { at: 9000, length: 700, seed: 2 },
  { at: 20_000, length: 1, seed: 3 },
  { at: 37_400, length: 51, seed: 4 },
]);
const recipe = referenceRecipe(disk);
const { virtualSizeBytes } = recipe;
const segments = Math.ceil(disk.length / 65_536);
const pages = pageCount(virtualSizeBytes);
const digest = digestOfRecipe(recipe);
const keysRoot = keysRootOfRecipe(recipe);
const prover = createRangeProver(recipe);

function range(max: number) {
  return fc
    .tuple(fc.integer({ min: 0, max: max - 1 }), fc.integer({ min: 1, max }))
    .map(([from, length]) => ({ from, to: Math.min(max, from + length) }));
}

describe('ranges of a recipe', () => {
  test('I1: any range of segments verifies alone and equals that part of the recipe', () => {
    fc.assert(
      fc.property(range(segments), ({ from, to }) => {
        const bytes = prover.encode('segments', from, to);
        const found = decodeSegmentRange(bytes, { digest, virtualSizeBytes, from, to });
        const part = referenceRecipe(disk.subarray(from * 65_536, to * 65_536));
        expect(Buffer.from(found.hashes).equals(part.segmentHashes)).toBe(true);
        for (let i = from; i < to; i += 1) {
          const bit = (found.bitmap[(i - from) >> 3]! >> ((i - from) & 7)) & 1;
          expect(bit === 1).toBe(isSegmentNonZero(recipe, i));
        }
      }),
    );
  });

  test('I1: any range of key pages verifies alone and equals that part of the recipe', () => {
    fc.assert(
      fc.property(range(pages), ({ from, to }) => {
        const bytes = encodeRecipeRange(recipe, 'keys', from, to);
        const found = decodeKeyRange(bytes, { keysRoot, virtualSizeBytes, from, to });
        const part = referenceRecipe(disk.subarray(from * 64 * 65_536, to * 64 * 65_536));
        expect(found.keys).toEqual(part.keys);
        expect([...found.masks].filter((mask) => mask !== 0)).toEqual([...part.blockMasks]);
      }),
    );
  });

  test('I2: no flipped bit and no cut passes, in either column', () => {
    const askedSegments = { digest, virtualSizeBytes, from: 60, to: 150 };
    const askedKeys = { keysRoot, virtualSizeBytes, from: 1, to: pages };
    const cases = [
      {
        bytes: prover.encode('segments', 60, 150),
        decode: (bytes: Uint8Array) => void decodeSegmentRange(bytes, askedSegments),
      },
      {
        bytes: prover.encode('keys', 1, pages),
        decode: (bytes: Uint8Array) => void decodeKeyRange(bytes, askedKeys),
      },
    ];
    for (const { bytes, decode } of cases) {
      decode(bytes);
      for (let at = 0; at < bytes.length; at += 1) {
        const changed = bytes.slice();
        changed[at]! ^= 1 << (at % 8);
        expect(() => decode(changed), `byte ${at}`).toThrow(/A range of a recipe|A Merkle proof/);
        expect(() => decode(bytes.subarray(0, at))).toThrow(/A range of a recipe/);
      }
      expect(() => decode(new Uint8Array([...bytes, 0]))).toThrow(/A range of a recipe/);
    }
  });

  test('I2: another range than the one asked for is refused although it is genuine', () => {
    const bytes = prover.encode('segments', 10, 20);
    const asked = { digest, virtualSizeBytes, from: 11, to: 20 };
    expect(() => decodeSegmentRange(bytes, asked)).toThrow(/not the range/);
  });

  test('I2: the range of a disk of another size is refused', () => {
    const bytes = prover.encode('segments', 10, 20);
    const asked = { digest, virtualSizeBytes: virtualSizeBytes + 512, from: 10, to: 20 };
    expect(() => decodeSegmentRange(bytes, asked)).toThrow(/A range of a recipe/);
  });

  test('I3: random bytes are corrupt', () => {
    const header = prover.encode('keys', 0, 2).subarray(0, 32);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (tail) => {
        try {
          const bytes = new Uint8Array([...header, ...tail]);
          decodeKeyRange(bytes, { keysRoot, virtualSizeBytes, from: 0, to: 2 });
          expect.unreachable();
        } catch (error) {
          expect(isVmdnError(error, 'corrupt')).toBe(true);
        }
      }),
    );
  });

  test('a range that nobody could serve is invalid_input, not a crash', () => {
    for (const [from, to] of [
      [5, 5],
      [6, 5],
      [-1, 2],
      [0, segments + 1],
      [0.5, 2],
    ] as const) {
      expect(() => prover.encode('segments', from, to)).toThrow(/range of leaves/);
    }
    expect(() => prover.encode('segments', 0, 1e9)).toThrow(/ask for less/);
  });
});
