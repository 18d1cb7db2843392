import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeRecipe } from '../../formats/recipe.ts';
import { recipeOfSegments } from '../../formats/recipe-outline.fixture.ts';
import { createRecipeReader, readRecipe } from './read-recipe.ts';

const short = recipeOfSegments([1, 0, 2]);
const long = recipeOfSegments([3, 4, 5, 6, 7, 8]);

let dir: string;
const path = (name: string): string => join(dir, name);
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-read-recipe-'));
  await writeFile(path('short'), encodeRecipe(short));
  await writeFile(path('long'), encodeRecipe(long));
  await writeFile(path('cut'), encodeRecipe(long).subarray(0, -8));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('a reader of recipes', () => {
  it('reads one after another, longer and shorter ones, and none that cannot be read', () => {
    using reader = createRecipeReader();
    for (const [name, recipe] of [
      ['short', short],
      ['long', long],
      ['cut', undefined],
      ['short', short],
      ['gone', undefined],
      ['long', long],
    ] as const) {
      expect(reader.readIfAny(path(name))).toEqual(recipe);
    }
  });

  it('I1: has one recipe in memory, and none when it is disposed', () => {
    const reader = createRecipeReader();
    const first = reader.readIfAny(path('long'))!;
    const second = reader.readIfAny(path('short'))!;
    expect(second.keys.buffer).toBe(first.keys.buffer);
    reader[Symbol.dispose]();
    expect([second.keys.length, second.segmentHashes.length]).toEqual([0, 0]);
  });

  it('I1: gives back the memory of a recipe when a longer one is read', () => {
    using reader = createRecipeReader();
    const first = reader.readIfAny(path('short'))!;
    reader.readIfAny(path('long'));
    expect(first.keys.length).toBe(0);
  });
});

describe('a wanted recipe', () => {
  it('lies in shared memory, on its own', () => {
    const recipe = readRecipe(path('long'));
    expect(recipe).toEqual(long);
    expect(recipe.keys.buffer).toBeInstanceOf(SharedArrayBuffer);
  });
});
