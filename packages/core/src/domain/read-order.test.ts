import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LackingRows, scatteredFirst } from './read-order.ts';
import { popcount32 } from './recipe-index.ts';

const FULL = 0xffff;

/** A disk by what each of its segments lacks; null: it is zero. */
function disk(...lacks: readonly (number | null)[]): LackingRows {
  const segments = lacks.flatMap((lack, segment) => (lack === null ? [] : [segment]));
  return {
    segmentOfRow: Uint32Array.from(segments),
    blockMasks: new Uint16Array(segments.length).fill(FULL),
    remoteMasks: Uint16Array.from(segments.map((segment) => lacks[segment]!)),
  };
}

const orderOf = (lacking: LackingRows, blocksMax = 1000): number[] => [
  ...scatteredFirst(lacking, blocksMax),
];

describe('what comes first while nobody knows what a boot reads', () => {
  it('I1: is what lies among blocks that are near, then the stretches, the shortest first', () => {
    //                row: 0     1     2     3  4     5     6
    const lacking = disk(FULL, FULL, FULL, 0, 0x10, FULL, 0x1);
    expect(orderOf(lacking)).toEqual([4, 6, 5, 0, 1, 2]);
  });

  it('I1: a segment of zeros parts two stretches', () => {
    expect(orderOf(disk(FULL, FULL, FULL, 0, FULL, FULL, null, FULL))).toEqual([6, 4, 5, 0, 1, 2]);
  });

  it('I1, I2: is each row that lacks something once, as many as may be', () => {
    const lacks = fc.array(fc.constantFrom(null, 0, 1, 0x0ff0, FULL), { maxLength: 60 });
    fc.assert(
      fc.property(lacks, fc.integer({ min: 0, max: 400 }), (masks, blocksMax) => {
        const lacking = disk(...masks);
        const blocksOf = (row: number): number => popcount32(lacking.remoteMasks[row]!);
        const all = orderOf(lacking);
        expect(all.toSorted((a, b) => a - b)).toEqual(
          [...lacking.remoteMasks.keys()].filter((row) => blocksOf(row) > 0),
        );
        const some = orderOf(lacking, blocksMax);
        expect(some).toEqual(all.slice(0, some.length));
        const blocks = some.reduce((sum, row) => sum + blocksOf(row), 0);
        expect(blocks).toBeLessThanOrEqual(blocksMax);
        if (some.length < all.length) {
          expect(blocks + blocksOf(all[some.length]!)).toBeGreaterThan(blocksMax);
        }
      }),
    );
  });
});
