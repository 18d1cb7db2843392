import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { popcount32 } from './recipe-index.ts';
import { sampleRows } from './wire-sample.ts';

const rows = fc
  .array(
    fc.record({ gap: fc.integer({ min: 0, max: 3 }), mask: fc.integer({ min: 0, max: 0xffff }) }),
    { maxLength: 200 },
  )
  .map((list) => {
    let segment = -1;
    const segmentOfRow = Uint32Array.from(list, ({ gap }) => (segment += 1 + gap));
    return { segmentOfRow, masks: Uint16Array.from(list, ({ mask }) => mask) };
  });

const blocksOf = (runs: Uint32Array): number[] => {
  const blocks: number[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    for (let block = 0; block < runs[i + 1]!; block += 1) blocks.push(runs[i]! + block);
  }
  return blocks;
};

describe('a sample of what travels', () => {
  it('I2: is all of it when it is little enough', () => {
    fc.assert(
      fc.property(rows, ({ segmentOfRow, masks }) => {
        const wanted: number[] = [];
        masks.forEach((mask, row) => {
          for (let bit = 0; bit < 16; bit += 1) {
            if ((mask & (1 << bit)) !== 0) wanted.push(segmentOfRow[row]! * 16 + bit);
          }
        });
        const sample = sampleRows({ segmentOfRow, masks }, 4000);
        expect(sample === undefined ? [] : blocksOf(sample.runs)).toEqual(wanted);
      }),
    );
  });

  it('I1: is otherwise at most so many blocks, whole rows, spread over the disk', () => {
    const count = 1000;
    const segmentOfRow = Uint32Array.from({ length: count }, (_, row) => 2 * row);
    const masks = new Uint16Array(count).fill(0xffff);
    const sample = sampleRows({ segmentOfRow, masks }, 1600)!;
    expect(sample).toMatchObject({ blocks: 1600, ofBlocks: 16_000 });
    expect(sample.runs).toHaveLength(200);
    const starts = sample.runs.filter((_, i) => i % 2 === 0);
    for (let i = 1; i < starts.length; i += 1) expect(starts[i]! - starts[i - 1]!).toBe(320);
  });

  it('never exceeds its limit by more than a row, and counts what it takes', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 500 }), (wanted, blocksMax) => {
        const sample = sampleRows(wanted, blocksMax);
        if (sample === undefined) return;
        expect(blocksOf(sample.runs)).toHaveLength(sample.blocks);
        expect(sample.blocks).toBeLessThanOrEqual(blocksMax);
        expect(sample.ofBlocks).toBe(wanted.masks.reduce((sum, mask) => sum + popcount32(mask), 0));
      }),
    );
  });
});
