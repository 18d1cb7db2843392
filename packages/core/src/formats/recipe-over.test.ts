import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceRecipe, seededBytes } from './recipe.fixture.ts';
import { recipeOver } from './recipe-over.ts';

const SEGMENT = 65_536;
const BLOCK = 4096;
const SEGMENTS = 4;
/** The last segment is short. */
const DISK_BYTES = (SEGMENTS - 1) * SEGMENT + 2 * BLOCK + 512;

/** A disk with random segments, some of them zero and some with zero blocks. */
const disk = fc
  .array(fc.constantFrom('data', 'zero', 'holes'), { minLength: SEGMENTS, maxLength: SEGMENTS })
  .chain((kinds) => fc.nat(1000).map((seed) => ({ kinds, seed })))
  .map(({ kinds, seed }) => {
    const bytes = Buffer.from(seededBytes(`disk ${seed}`, DISK_BYTES));
    for (const [index, kind] of kinds.entries()) {
      const at = index * SEGMENT;
      if (kind === 'zero') bytes.fill(0, at, Math.min(at + SEGMENT, DISK_BYTES));
      if (kind === 'holes') bytes.fill(0, at + BLOCK, Math.min(at + 3 * BLOCK, DISK_BYTES));
    }
    return bytes;
  });
const choice = fc.array(fc.boolean(), { minLength: SEGMENTS, maxLength: SEGMENTS });

describe('a recipe over another', () => {
  it('I1: is that of the disk which the segments of both make up', () => {
    fc.assert(
      fc.property(disk, disk, choice, (below, above, isAbove) => {
        const whole = Buffer.from(below);
        for (const [index, taken] of isAbove.entries()) {
          const at = index * SEGMENT;
          if (taken) above.copy(whole, at, at, Math.min(at + SEGMENT, DISK_BYTES));
        }
        const made = recipeOver(referenceRecipe(below), referenceRecipe(above), (i) => isAbove[i]!);
        expect(made).toEqual(referenceRecipe(whole));
      }),
      { numRuns: 25 },
    );
  });

  it('is of disks of one size', () => {
    const [one, other] = [SEGMENT, 2 * SEGMENT].map((size) =>
      referenceRecipe(Buffer.alloc(size, 1)),
    );
    expect(() => recipeOver(one!, other!, () => true)).toThrow('different sizes');
  });
});
