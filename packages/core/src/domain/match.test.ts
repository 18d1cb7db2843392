import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recipeOfKeys } from './match.fixture.ts';
import { createMatcher, nonZeroBlocks, placesPerKeyFor } from './match.ts';
import type { Recipe } from './recipe.ts';
import { scoreLibrary } from './score.ts';
import { blockLengthBytes } from './units.ts';

const contents = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 120 });
const lastBytes = fc.constantFrom(512, 1024, 4096);

/** By comparing every block with every block. */
function slowCoverage(
  wanted: readonly number[],
  size: number,
  images: readonly number[][],
): number {
  const held = new Set(images.flat());
  return wanted.reduce(
    (sum, content, i) =>
      content !== 0 && held.has(content) ? sum + blockLengthBytes(size, i) : sum,
    0,
  );
}

describe('matching', () => {
  it('I3: what no image covers is missing, the short last block counted truly', () => {
    fc.assert(
      fc.property(
        contents,
        lastBytes,
        fc.array(contents, { maxLength: 3 }),
        (want, last, library) => {
          const wanted = recipeOfKeys(want, last);
          const matcher = createMatcher(wanted, { placesPerKey: 0, seed: 3 });
          for (const image of library) matcher.scan(recipeOfKeys(image));
          const size = wanted.virtualSizeBytes;
          const all = slowCoverage(want, size, [[...want]]);
          expect(matcher.missingBytes()).toBe(all - slowCoverage(want, size, library));
        },
      ),
    );
  });

  it('I3: finds exactly the covered bytes of each image and of all together', () => {
    fc.assert(
      fc.property(
        contents,
        lastBytes,
        fc.array(contents, { maxLength: 5 }),
        (want, last, library) => {
          const wanted = recipeOfKeys(want, last);
          const scores = scoreLibrary(
            wanted,
            library.map((image) => recipeOfKeys(image)),
            7,
          );
          const size = wanted.virtualSizeBytes;
          expect(scores.coveredBytes).toEqual(
            library.map((image) => slowCoverage(want, size, [image])),
          );
          expect(scores.unionBytes).toBe(slowCoverage(want, size, library));
        },
      ),
    );
  });

  it('I4: every place that it names holds the wanted key, and a key that an image holds has a place', () => {
    fc.assert(
      fc.property(contents, fc.array(contents, { maxLength: 5 }), (want, library) => {
        const wanted = recipeOfKeys(want);
        const matcher = createMatcher(wanted, { placesPerKey: 3, seed: 1 });
        for (const image of library) matcher.scan(recipeOfKeys(image));
        const places = matcher.places();
        expect(places.blocks).toEqual(nonZeroBlocks(wanted));
        places.blocks.forEach((block, key) => {
          const first = places.firstOf[key]!;
          const content = want[block]!;
          expect(places.blocks[first]).toBe(want.indexOf(content));
          const [begin, end] = [places.start[first]!, places.start[first + 1]!];
          expect(end - begin).toBeLessThanOrEqual(3);
          expect(end > begin).toBe(library.some((image) => image.includes(content)));
          for (let at = begin; at < end; at += 1) {
            expect(library[places.image[at]!]![places.block[at]!]).toBe(content);
          }
        });
      }),
    );
  });

  it('I4: a place that continues a run displaces one that stands alone', () => {
    const wanted = recipeOfKeys([1, 2, 3, 4]);
    const matcher = createMatcher(wanted, { placesPerKey: 1, seed: 1 });
    matcher.scan(recipeOfKeys([3, 9, 9, 2]));
    matcher.scan(recipeOfKeys([9, 1, 2, 3, 4]));
    const { image, block } = matcher.places();
    expect([...image]).toEqual([1, 1, 1, 1]);
    expect([...block]).toEqual([1, 2, 3, 4]);
  });

  it('takes places in several images before two in one', () => {
    const matcher = createMatcher(recipeOfKeys([5]), { placesPerKey: 2, seed: 1 });
    matcher.scan(recipeOfKeys([5, 0, 5, 5]));
    matcher.scan(recipeOfKeys([0, 5]));
    expect([...matcher.places().image]).toEqual([0, 1]);
  });

  it('skips segments that an image does not hold', () => {
    const wanted = recipeOfKeys([1, ...Array<number>(15).fill(0), 2, 3]);
    const matcher = createMatcher(wanted, { placesPerKey: 2, seed: 1 });
    expect(matcher.scan(wanted, Uint8Array.of(0b10))).toBe(2 * 4096);
    expect(matcher.coveredBytes()).toBe(2 * 4096);
    expect([...matcher.places().block]).toEqual([16, 17]);
  });

  it('keeps fewer places per key the larger the disk is', () => {
    const keys = (blocks: number) => ({ ...recipeOfKeys([]), keys: { length: blocks * 2 } });
    const perKey = [1e6, 3e6, 1e8].map((blocks) => placesPerKeyFor(keys(blocks) as Recipe));
    expect(perKey).toEqual([3, 2, 1]);
  });

  it('scans keys that were made to collide in a simple table without slowing down', () => {
    const count = 20_000;
    const crafted = recipeOfKeys(Array.from({ length: count }, (_, i) => i + 1));
    for (let i = 0; i < count; i += 1) {
      crafted.keys[2 * i] = i << 17;
      crafted.keys[2 * i + 1] = 0;
    }
    for (let i = 0; i < count; i += 1) crafted.keys[2 * i + 1] = Math.floor(i / 2 ** 15);
    const begin = performance.now();
    const matcher = createMatcher(crafted, { placesPerKey: 0, seed: 99 });
    expect(matcher.scan(crafted)).toBe(count * 4096);
    // Quadratic probing over 20,000 keys would take seconds.
    expect(performance.now() - begin).toBeLessThan(1000);
  });
});
