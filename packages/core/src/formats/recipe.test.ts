import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Digest, MerkleRoot } from '../domain/digest.ts';
import { isVmdnError } from '../domain/errors.ts';
import { MAX_DISK_BYTES } from '../domain/limits.ts';
import { buildRecipeIndex } from '../domain/recipe-index.ts';
import { digestOfRecipe } from './disk-digest.ts';
import { keysRootOfRecipe } from './key-pages.ts';
import { diskOf, referenceDigest, referenceKeysRoot, referenceRecipe } from './recipe.fixture.ts';
import {
  decodeRecipe,
  encodeRecipe,
  recipeFileBytes,
  recipePieces,
  verifyRecipe,
} from './recipe.ts';

/** Disks up to 10 MiB (three key pages) with data in a few places; sizes are any k × 512. */
const disks = fc
  .record({
    sectors: fc.oneof(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 20_000 })),
    writes: fc.array(
      fc.record({
        at: fc.nat({ max: 20_000 }),
        length: fc.integer({ min: 1, max: 300 }),
        seed: fc.nat({ max: 9 }),
      }),
      { maxLength: 6 },
    ),
  })
  .map(({ sectors, writes }) => diskOf(sectors, writes));

const sample = diskOf(9000, [
  { at: 3, length: 40, seed: 1 },
  { at: 700, length: 1, seed: 2 },
  { at: 8500, length: 500, seed: 3 },
]);

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isVmdnError(error)) return error.code;
    throw error;
  }
  return 'no error';
}

describe('recipes', () => {
  test('I1: a recipe comes back from its file as it went in, byte for byte', () => {
    fc.assert(
      fc.property(disks, fc.integer({ min: 0, max: 7 }), (disk, shift) => {
        const recipe = referenceRecipe(disk);
        const file = encodeRecipe(recipe);
        expect(file.length).toBe(recipeFileBytes(recipe));
        expect(Buffer.concat([...recipePieces(recipe)]).equals(file)).toBe(true);
        const moved = new Uint8Array(file.length + shift);
        moved.set(file, shift);
        const decoded = decodeRecipe(moved.subarray(shift));
        expect(decoded).toEqual(recipe);
        expect(Buffer.from(encodeRecipe(decoded)).equals(file)).toBe(true);
        const buffer = Buffer.from(moved.buffer).subarray(shift);
        expect(decodeRecipe(buffer)).toEqual(recipe);
      }),
      { numRuns: 40 },
    );
  });

  test('digest and keysRoot are what an independent reading of the specification finds', () => {
    fc.assert(
      fc.property(disks, (disk) => {
        const recipe = referenceRecipe(disk);
        expect(digestOfRecipe(recipe)).toBe(referenceDigest(disk));
        expect(keysRootOfRecipe(recipe)).toBe(referenceKeysRoot(disk));
      }),
      { numRuns: 30 },
    );
  });

  test('the digest tells disks apart that differ only in size or in place', () => {
    const base = diskOf(1000, [{ at: 5, length: 3, seed: 1 }]);
    const others = [
      diskOf(1001, [{ at: 5, length: 3, seed: 1 }]),
      diskOf(1000, [{ at: 6, length: 3, seed: 1 }]),
      diskOf(1000, [{ at: 5, length: 3, seed: 2 }]),
      diskOf(1000, []),
      diskOf(1024, []),
    ];
    const digests = [base, ...others].map((disk) => digestOfRecipe(referenceRecipe(disk)));
    expect(new Set(digests).size).toBe(digests.length);
  });

  test('I3: decoding an aligned file copies no column', () => {
    const file = encodeRecipe(referenceRecipe(sample));
    const decoded = decodeRecipe(file);
    expect(decoded.keys.buffer).toBe(file.buffer);
    expect(decoded.segmentHashes.buffer).toBe(file.buffer);
  });

  test('I2: no flipped bit passes both decode and verify', () => {
    const recipe = referenceRecipe(sample);
    const file = encodeRecipe(recipe);
    const promised = { digest: digestOfRecipe(recipe), keysRoot: keysRootOfRecipe(recipe) };
    verifyRecipe(decodeRecipe(file), promised);
    for (let at = 0; at < file.length; at += 1) {
      const changed = file.slice();
      changed[at]! ^= 1 << (at % 8);
      const code = codeOf(() => verifyRecipe(decodeRecipe(changed), promised));
      expect(['corrupt', 'too_large', 'incompatible_protocol'], `byte ${at}`).toContain(code);
    }
  });

  test('I2: truncated, extended and random input is refused with a code', () => {
    const file = encodeRecipe(referenceRecipe(sample));
    for (let length = 0; length < file.length; length += 1) {
      expect(codeOf(() => decodeRecipe(file.subarray(0, length)))).toBe('corrupt');
    }
    expect(codeOf(() => decodeRecipe(new Uint8Array([...file, 0])))).toBe('corrupt');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (tail) => {
        const bytes = new Uint8Array([...file.subarray(0, 12), ...tail]);
        expect(codeOf(() => decodeRecipe(bytes))).not.toBe('no error');
      }),
    );
  });

  test('I2: counts that promise more than the bytes are refused before anything is allocated', () => {
    const file = encodeRecipe(referenceRecipe(sample));
    const view = new DataView(file.buffer);
    view.setUint32(24, 0xffff_ffff, true);
    view.setUint32(28, 0xffff_ffff, true);
    expect(codeOf(() => decodeRecipe(file))).toBe('corrupt');
    view.setBigUint64(16, BigInt(MAX_DISK_BYTES) + 512n, true);
    expect(codeOf(() => decodeRecipe(file))).toBe('too_large');
    view.setBigUint64(16, 2n ** 64n - 512n, true);
    expect(codeOf(() => decodeRecipe(file))).toBe('too_large');
  });

  test('verify names which root is wrong', () => {
    const recipe = referenceRecipe(sample);
    const promised = { digest: digestOfRecipe(recipe), keysRoot: keysRootOfRecipe(recipe) };
    const wrong = 'ab'.repeat(32);
    const digest = () => verifyRecipe(recipe, { ...promised, digest: wrong as Digest });
    const keys = () => verifyRecipe(recipe, { ...promised, keysRoot: wrong as MerkleRoot });
    expect(digest).toThrow(/not that of the promised disk/);
    expect(keys).toThrow(/match keys/);
  });

  test('the index finds every row and key that a scan finds', () => {
    fc.assert(
      fc.property(disks, (disk) => {
        const recipe = referenceRecipe(disk);
        const index = buildRecipeIndex(recipe);
        let [row, key] = [0, 0];
        for (let segment = 0; segment * 65_536 < disk.length; segment += 1) {
          const bytes = disk.subarray(segment * 65_536, segment * 65_536 + 65_536);
          const isZero = bytes.every((byte) => byte === 0);
          expect(index.rowOf(segment)).toBe(isZero ? -1 : row);
          if (!isZero) {
            expect(index.segmentOfRow[row]).toBe(segment);
            expect(index.firstKeyOf(row)).toBe(key);
            for (let bit = 0; bit < 16; bit += 1) {
              const set = (recipe.blockMasks[row]! >> bit) & 1;
              expect(index.keyIndexOf(segment * 16 + bit)).toBe(set === 1 ? key : -1);
              key += set;
            }
            row += 1;
          }
        }
        expect(index.rowOf(Math.ceil(disk.length / 65_536))).toBe(-1);
        expect(index.firstKeyOf(row)).toBe(key);
      }),
      { numRuns: 20 },
    );
  });
});
