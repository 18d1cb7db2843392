import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceRecipe } from '../formats/recipe.fixture.ts';
import { hasBit } from './bitmap.ts';
import { BASE_FILE, fileOf, layerSpans, OWN_FILE, ownSegments, ZERO_FILE } from './layers.ts';
import type { Recipe } from './recipe.ts';
import { bytesToWrite, chooseShare, rowsInPlace, SHARE_BYTES_MIN, type Share } from './share.ts';

const SEGMENT = 65_536;

/** A disk of named segments (0: zero), the last one cut. */
function diskOf(names: readonly number[], lastBytes = SEGMENT): Uint8Array {
  const disk = new Uint8Array(names.length * SEGMENT - (SEGMENT - lastBytes));
  names.forEach((name, i) => {
    if (name === 0) return;
    disk.fill(name, i * SEGMENT, (i + 1) * SEGMENT);
  });
  return disk;
}

const recipes = new Map<string, Recipe>();
function recipeOf(names: readonly number[], lastBytes?: number): Recipe {
  const key = `${names.join()} ${lastBytes}`;
  if (!recipes.has(key)) recipes.set(key, referenceRecipe(diskOf(names, lastBytes)));
  return recipes.get(key)!;
}

describe('what a disk can share with an image', () => {
  it('I1: is every segment that is the same at the same place, and no other', () => {
    const names = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(names, names, (want, have) => {
        const { rows, rowCount, bytes } = rowsInPlace(recipeOf(want), recipeOf(have));
        const nonZero = want.flatMap((name, segment) => (name === 0 ? [] : [segment]));
        const inPlace = nonZero.map((segment) => want[segment] === have[segment]);
        expect(nonZero.map((_, row) => hasBit(rows, row))).toEqual(inPlace);
        expect(rowCount).toBe(inPlace.filter(Boolean).length);
        expect(bytes).toBe(rowCount * SEGMENT);
      }),
      { numRuns: 30 },
    );
  });

  it('I1: is not a last segment of another length, whatever its bytes', () => {
    const short = recipeOf([1, 2], 1536);
    expect(rowsInPlace(short, recipeOf([1, 2])).rowCount).toBe(1);
    expect(rowsInPlace(recipeOf([1, 2]), short).rowCount).toBe(1);
    expect(rowsInPlace(short, recipeOf([3, 2], 1536))).toMatchObject({ rowCount: 1, bytes: 1536 });
  });
});

describe('whether a disk shares', () => {
  const wanted = { blockMasks: new Uint16Array(2000) } as Recipe;
  const share = (image: number, rowCount: number, bytes = rowCount * SEGMENT): Share => ({
    ...{ image, rowCount, bytes },
    rows: new Uint8Array(),
  });

  it('takes the image with most in place, the first of equals', () => {
    const found = [share(0, 1200), share(1, 1500), share(2, 1500)];
    expect(chooseShare(wanted, found)?.image).toBe(1);
    expect(chooseShare(wanted, [])).toBeNull();
  });

  it('needs half of the segments, and 64 MiB', () => {
    expect(chooseShare(wanted, [share(0, 999, 2 ** 40)])).toBeNull();
    expect(chooseShare(wanted, [share(0, 1000, SHARE_BYTES_MIN)])).not.toBeNull();
    expect(chooseShare(wanted, [share(0, 2000, SHARE_BYTES_MIN - 1)])).toBeNull();
  });

  it('asks for room for the segments of its own and the tables, and for no shared one', () => {
    const recipe = recipeOf([1, 2, 3, 0, 5]);
    const shared = { image: 0, ...rowsInPlace(recipe, recipeOf([1, 2, 9, 9, 9])) };
    expect(bytesToWrite(recipe, 4 * SEGMENT, null)).toBe(4 * SEGMENT);
    const bytes = bytesToWrite(recipe, 4 * SEGMENT, shared);
    expect(bytes).toBeGreaterThan(2 * SEGMENT + 5 * SEGMENT);
    expect(bytes).toBeLessThan(9 * SEGMENT);
  });
});

describe('the layers of an image', () => {
  it('give for any stretch the spans that a reference gives byte by byte', () => {
    const column = fc.array(fc.constantFrom(OWN_FILE, BASE_FILE, ZERO_FILE), {
      minLength: 1,
      maxLength: 9,
    });
    fc.assert(
      fc.property(
        column,
        fc.nat(9 * 128),
        fc.integer({ min: 1, max: 4 * 128 }),
        (files, at, count) => {
          const layers = {
            files: [
              { path: '/own', offsetBytes: 1_000_000 },
              { path: '/base', offsetBytes: 0 },
            ],
            fileOfSegment: Uint8Array.from(files),
          };
          const places: string[] = [];
          for (const { file, positionBytes, lengthBytes } of layerSpans(
            layers,
            at * 512,
            count * 512,
          )) {
            for (let sector = 0; sector < lengthBytes; sector += 512) {
              places.push(`${file} ${file === ZERO_FILE ? '' : positionBytes + sector}`);
            }
          }
          const expected = Array.from({ length: count }, (_, i) => {
            const byte = (at + i) * 512;
            const file = files[Math.floor(byte / SEGMENT)] ?? ZERO_FILE;
            if (file === ZERO_FILE) return `${file} `;
            return `${file} ${byte + (file === OWN_FILE ? 1_000_000 : 0)}`;
          });
          expect(places).toEqual(expected);
        },
      ),
    );
  });

  it('begin as the disk’s own, zero where the recipe says so', () => {
    const recipe = recipeOf([1, 0, 3]);
    const layers = {
      files: [{ path: '/own', offsetBytes: 0 }],
      fileOfSegment: ownSegments(recipe),
    };
    expect([0, 1, 2, 3].map((segment) => fileOf(layers, segment))).toEqual([
      OWN_FILE,
      ZERO_FILE,
      OWN_FILE,
      ZERO_FILE,
    ]);
  });
});
