import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeRecipe } from '@vmdn/core/formats/recipe.ts';
import { recipeOfSegments } from '@vmdn/core/formats/recipe-outline.fixture.ts';
import { createOutlineResolver } from '@vmdn/core/io/sync/outline-resolver.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { measureLight } from './recipes.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-bench-recipes-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

test('a clone is charged for its own rows, a copy for its outline alone', async () => {
  await using resolver = createOutlineResolver();
  const contents = Array.from({ length: 500 }, (_, i) => i + 1);
  const held = join(folder, 'held');
  await writeFile(held, encodeRecipe(recipeOfSegments(contents)));
  const means = { resolver, signal: new AbortController().signal };
  const clone = recipeOfSegments(
    contents.map((content) => (content % 10 === 0 ? -content : content)),
  );
  const cost = await measureLight(clone, held, means);
  expect(cost).toMatchObject({ rows: 500, missingRows: 50, fileBytes: encodeRecipe(clone).length });
  expect(cost.outlineBytes).toBeGreaterThanOrEqual(500 * 8);
  expect(cost.outlineBytes + cost.rowsBytes).toBeLessThan(0.4 * cost.plainBytes);
  const copy = recipeOfSegments([...contents].reverse());
  expect(await measureLight(copy, held, means)).toMatchObject({
    ...{ missingRows: 0, rowsBytes: 0, requestBytes: 0 },
  });
});
