import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addRecord,
  bitmapBytes,
  blockTier,
  hasBit,
  isCompleteRecord,
  setBit,
  setBlockTier,
  tierCode,
} from './bitmap.ts';
import { TIERS } from './tiers.ts';

describe('bitmaps and tier records', () => {
  it('I1: a bit is where a recipe has it', () => {
    const bitmap = new Uint8Array(bitmapBytes(20));
    setBit(bitmap, 3);
    setBit(bitmap, 17);
    expect([...bitmap]).toEqual([0b1000, 0, 0b10]);
    expect([3, 4, 17, 99].map((i) => hasBit(bitmap, i))).toEqual([true, false, true, false]);
  });

  it('I2: a record gives back each block’s tier, whatever was written in whatever order', () => {
    const write = fc.record({
      row: fc.nat({ max: 3 }),
      block: fc.nat({ max: 15 }),
      code: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(fc.array(write), (writes) => {
        const records = new Uint32Array(8);
        const expected = new Map<number, number>();
        for (const { row, block, code } of writes) {
          setBlockTier(records, row, block, code);
          expected.set(row * 16 + block, code);
        }
        for (let i = 0; i < 64; i += 1) {
          expect(blockTier(records, i >> 4, i & 15)).toBe(expected.get(i) ?? 0);
        }
      }),
    );
  });

  it('I2: bytes by tier add up to the segment, and can be taken back', () => {
    const records = new Uint32Array(2);
    for (let block = 0; block < 3; block += 1) {
      setBlockTier(records, 0, block, tierCode(TIERS[block]!));
    }
    const sums = new Float64Array(TIERS.length);
    addRecord(sums, records, 0, 2 * 4096 + 512);
    expect([...sums]).toEqual([4096, 4096, 512, 0, 0]);
    addRecord(sums, records, 0, 2 * 4096 + 512, -1);
    expect([...sums]).toEqual([0, 0, 0, 0, 0]);
  });

  it('I2: a record is complete when exactly the blocks of the segment have a tier', () => {
    const records = new Uint32Array(2);
    for (let block = 0; block < 15; block += 1) setBlockTier(records, 0, block, 1);
    expect(isCompleteRecord(records, 0, 15)).toBe(true);
    expect(isCompleteRecord(records, 0, 16)).toBe(false);
    expect(isCompleteRecord(records, 0, 14)).toBe(false);
    setBlockTier(records, 0, 2, 9);
    expect(isCompleteRecord(records, 0, 15)).toBe(false);
  });
});
