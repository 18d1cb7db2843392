/**
 * Room: io, sync. The thread that looks up the rows of outlines and completes recipes.
 *
 * I1: a recipe file that cannot be read or decoded knows nothing; it never fails the lookup.
 * I2: memory holds one recipe of the library at a time, and reading ends when every row is known.
 */

import { randomInt } from 'node:crypto';
import { giveBack } from '../../domain/columns.ts';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_ROW_RUNS_PER_REQUEST } from '../../domain/limits.ts';
import { createOutlineMatcher, missingRuns, rowCountOf } from '../../domain/recipe-outline.ts';
import { recipeLength, verifyRecipe } from '../../formats/recipe.ts';
import { decodeOutline } from '../../formats/recipe-outline.ts';
import { assembleRecipe, expectedRowsLength } from '../../formats/recipe-rows.ts';
import type { ResolvedOutline } from '../ports/outline-resolver.ts';
import type { OutlineOrder, OutlineValue } from './outline-messages.ts';
import { createRecipeReader } from './read-recipe.ts';
import { answerCalls, buffersOf } from './worker-calls.ts';

function resolve(order: OutlineOrder & { readonly kind: 'resolve' }): ResolvedOutline {
  const outline = decodeOutline(order.outline);
  const rows = outline.prefixes.length / 2;
  const bytes = recipeLength(outline.virtualSizeBytes, rows, outline.keyCount);
  if (order.recipeBytes !== undefined && bytes !== order.recipeBytes) {
    throw new VmdnError('corrupt', 'An outline is not that of the promised recipe.', {
      data: { promised: order.recipeBytes, found: bytes },
    });
  }
  const matcher = createOutlineMatcher(outline, randomInt(2 ** 32));
  using library = createRecipeReader();
  for (const path of order.recipePaths) {
    const recipe = library.readIfAny(path);
    if (recipe !== undefined && matcher.scan(recipe)) break;
  }
  const known = matcher.known();
  const runs = missingRuns(known, MAX_ROW_RUNS_PER_REQUEST);
  const rowsBytes = expectedRowsLength({ outline, known, runs });
  return { outline: order.outline, known, runs, rowsBytes, rows, missingRows: rowCountOf(runs) };
}

function complete(order: OutlineOrder & { readonly kind: 'complete' }): Uint8Array {
  const { known, runs } = order.resolved;
  const outline = decodeOutline(order.resolved.outline);
  const { bytes, recipe } = assembleRecipe({ outline, known, runs }, order.rows);
  if (order.rows !== null) giveBack(order.rows);
  verifyRecipe(recipe, order.promised);
  return bytes;
}

/** The columns go back without being copied. */
function columnsOf(value: OutlineValue): readonly ArrayBufferView[] {
  if (value instanceof Uint8Array) return [value];
  return [value.outline, value.runs, ...Object.values(value.known)];
}

answerCalls<OutlineOrder, OutlineValue>(
  (order) => (order.kind === 'resolve' ? resolve(order) : complete(order)),
  (value) => buffersOf(columnsOf(value)),
);
