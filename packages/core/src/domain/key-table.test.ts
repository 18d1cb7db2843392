import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyTable } from './key-table.ts';

/** Few words, so that keys recur, and differ in one word only. */
const word = fc.constantFrom(0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff);
const columns = fc.array(fc.tuple(word, word), { maxLength: 100 });
const seeds = fc.constantFrom(0, 1, 0xffffffff);

const isSame = ([a, b]: readonly number[], [c, d]: readonly number[]): boolean =>
  a === c && b === d;

describe('a table of keys', () => {
  it('finds the first key that equals, wherever it lies, and no other', () => {
    fc.assert(
      fc.property(columns, seeds, fc.tuple(word, word), (keys, seed, asked) => {
        const table = new KeyTable(Uint32Array.from(keys.flat()), seed);
        const firstOf = (key: readonly number[]): number =>
          keys.findIndex((other) => isSame(other, key));
        expect(table.find(...asked)).toBe(firstOf(asked));
        keys.forEach((key, k) => {
          const first = firstOf(key);
          expect(table.find(...key)).toBe(first);
          expect(table.firstOf(k)).toBe(first);
          expect(table.countOf(first)).toBe(keys.filter((other) => isSame(other, key)).length);
        });
        const firsts = keys.map(firstOf);
        expect([...table.firsts()]).toEqual(firsts);
        expect([...table.spend()]).toEqual(firsts);
      }),
    );
  });

  it('finds every one of many keys, and none that it was not given', () => {
    const count = 300_000;
    const keys = new Uint32Array(2 * count);
    for (let i = 0; i < count; i += 1) {
      keys[2 * i] = Math.imul(i, 0x9e3779b1);
      keys[2 * i + 1] = i;
    }
    const table = new KeyTable(keys, 7);
    let [found, strangers] = [0, 0];
    for (let i = 0; i < count; i += 1) {
      if (table.find(keys[2 * i]!, i) === i) found += 1;
      if (table.find(keys[2 * i]!, i + count) >= 0) strangers += 1;
    }
    expect([found, strangers]).toEqual([count, 0]);
  });

  it('I3: takes twelve bytes for each key, and the column stays where it is', () => {
    const count = 1_000_000;
    const keys = new Uint32Array(2 * count);
    for (let i = 0; i < count; i += 1) keys[2 * i] = i;
    const before = process.memoryUsage().arrayBuffers;
    const table = new KeyTable(keys, 1);
    const taken = process.memoryUsage().arrayBuffers - before;
    expect(table.find(count - 1, 0)).toBe(count - 1);
    expect(taken).toBeLessThanOrEqual(12 * count + 4096);
    const firsts = table.spend();
    // The slots are gone at once; what is left is the answer.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThanOrEqual(4 * count + 4096);
    expect(firsts.length).toBe(count);
  });
});
