import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changed, outlineOf, recipeOfSegments } from '../formats/recipe-outline.fixture.ts';
import { decodeOutline } from '../formats/recipe-outline.ts';
import {
  createOutlineMatcher,
  type KnownRows,
  knownKeyCount,
  missingRuns,
  rowCountOf,
} from './recipe-outline.ts';

const matcherOf = (contents: readonly number[]) =>
  createOutlineMatcher(decodeOutline(outlineOf(recipeOfSegments(contents))), 3);

/** Which rows are known, as a string of 0 and 1. */
const knownOf = ({ firstOf, masks }: KnownRows): string =>
  [...firstOf].map((first) => (masks[first] === 0 ? '0' : '1')).join('');

const rowsOf = (runs: Uint32Array): number[] => {
  const rows: number[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let row = runs[i]!; row < runs[i]! + runs[i + 1]!; row += 1) rows.push(row);
  }
  return rows;
};

describe('an outline', () => {
  it('I1: finds a segment in place, elsewhere and more than once', () => {
    const matcher = matcherOf([1, 2, 3, 4, 2, 5]);
    expect(matcher.scan(recipeOfSegments([1, 0, 0, 2]))).toBe(false);
    expect(knownOf(matcher.known())).toBe('110010');
    expect(matcher.scan(recipeOfSegments([5, 4, 9, 3]))).toBe(true);
    expect(knownOf(matcher.known())).toBe('111111');
  });

  it('I2: takes a row from the first recipe that knows it, and from no later one', () => {
    const honest = recipeOfSegments([1]);
    const other = changed(honest, ({ keys }) => keys.fill(0));
    for (const [first, second] of [
      [honest, other],
      [other, honest],
    ] as const) {
      const matcher = matcherOf([1, 2]);
      matcher.scan(first);
      matcher.scan(second);
      expect(matcher.known().keys).toEqual(first.keys);
    }
  });

  it('asks for exactly the rows that nobody knows, and counts the keys of the others', () => {
    const contents = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 80 });
    fc.assert(
      fc.property(contents, fc.array(contents, { maxLength: 3 }), (want, library) => {
        const wanted = recipeOfSegments(want);
        const matcher = createOutlineMatcher(decodeOutline(outlineOf(wanted)), 3);
        for (const image of library) matcher.scan(recipeOfSegments(image));
        const held = new Set(library.flat());
        const missing = want
          .filter((content) => content !== 0)
          .map((content) => !held.has(content));
        const known = matcher.known();
        const runs = missingRuns(known, 65_536);
        expect(rowsOf(runs)).toEqual(missing.flatMap((is, row) => (is ? [row] : [])));
        const keysOf = (content: number): number => recipeOfSegments([content]).keys.length / 2;
        const keys = want.filter((content) => content !== 0 && held.has(content)).map(keysOf);
        expect(knownKeyCount(known, runs)).toBe(keys.reduce((sum, count) => sum + count, 0));
      }),
      { numRuns: 50 },
    );
  });

  it('joins runs where there would be too many, over the fewest known rows first', () => {
    // Rows 0, 2, 4, 9 and 30 are missing: gaps of 1, 1, 4 and 20 known rows.
    const missing = new Set([0, 2, 4, 9, 30]);
    const known: KnownRows = {
      firstOf: Uint32Array.from({ length: 40 }, (_, row) => row),
      masks: Uint16Array.from({ length: 40 }, (_, row) => (missing.has(row) ? 0 : 1)),
      hashes: new Uint8Array(),
      firstKeys: new Uint32Array(),
      keys: new Uint32Array(),
    };
    expect([...missingRuns(known, 5)]).toEqual([0, 1, 2, 1, 4, 1, 9, 1, 30, 1]);
    expect([...missingRuns(known, 3)]).toEqual([0, 5, 9, 1, 30, 1]);
    expect([...missingRuns(known, 1)]).toEqual([0, 31]);
    expect(rowCountOf(missingRuns(known, 2))).toBe(11);
  });
});
