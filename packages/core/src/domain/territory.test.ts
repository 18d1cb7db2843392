import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placeOf, type RowRange, territory } from './territory.ts';

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

function rowsOf(ranges: readonly RowRange[]): number[] {
  return ranges.flatMap(({ from, to, isBackward }) => {
    const rows = Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
    return isBackward ? rows.reverse() : rows;
  });
}

describe('a territory', () => {
  it('I2: and the rest are all rows, each once, whoever else is there', () => {
    const others = fc.array(place, { maxLength: 6 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), place, others, (rows, mine, theirs) => {
        const { own, rest } = territory(rows, mine, theirs);
        const all = rowsOf([...own, ...rest]).sort((a, b) => a - b);
        expect(all).toEqual(Array.from({ length: rows }, (_, i) => i));
      }),
    );
  });

  it('I3: ends where the next one begins, and helping goes backward from its own beginning', () => {
    const { own, rest } = territory(10, 0.3, [0.7]);
    expect(rowsOf(own)).toEqual([3, 4, 5, 6]);
    expect(rowsOf(rest)).toEqual([2, 1, 0, 9, 8, 7]);
    const other = territory(10, 0.7, [0.3]);
    expect(rowsOf(other.own)).toEqual([7, 8, 9, 0, 1, 2]);
    expect(rowsOf(other.rest)).toEqual([6, 5, 4, 3]);
  });

  it('is the whole disk, from its place around, for one that is alone', () => {
    expect(rowsOf(territory(5, 0.5, []).own)).toEqual([2, 3, 4, 0, 1]);
    expect(rowsOf(territory(5, 0.5, []).rest)).toEqual([]);
  });
});

describe('the place of a node', () => {
  it('I1: is spread evenly, also over ids that differ in one digit', () => {
    const quarters = [0, 0, 0, 0];
    for (let i = 0; i < 4000; i += 1) quarters[Math.floor(4 * placeOf(`node-${i}`))]! += 1;
    for (const count of quarters) expect(Math.abs(count - 1000)).toBeLessThan(150);
    expect(placeOf('node-1')).toBe(placeOf('node-1'));
  });
});
