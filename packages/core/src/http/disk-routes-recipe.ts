/**
 * Room: http. A recipe over HTTP: the whole file, one byte range of it, a range of one column that
 * verifies alone, its outline, or rows of it.
 *
 * I1: a byte range is always of the file as it is; only what is whole is sent compressed.
 */

import { nonZeroSegmentCount, type Recipe } from '../domain/recipe.ts';
import { buildRecipeIndex, type RecipeIndex } from '../domain/recipe-index.ts';
import { rowCountOf } from '../domain/recipe-outline.ts';
import { outlineLength, outlinePieces } from '../formats/recipe-outline.ts';
import { createRangeProver, type RangeProver, type RecipeColumn } from '../formats/recipe-range.ts';
import { decodeRowRequest, keyCountOf, rowPieces, rowsLength } from '../formats/recipe-rows.ts';
import type { ServedDisk } from '../io/ports/disk-library.ts';
import type { RecipeFile } from '../io/ports/recipe-files.ts';
import { acceptsCoding, matchesAnyTag, rangeStands } from './conditional.ts';
import {
  RECIPE_MEDIA_TYPE,
  RECIPE_OUTLINE_MEDIA_TYPE,
  RECIPE_RANGE_MEDIA_TYPE,
  RECIPE_ROWS_MEDIA_TYPE,
} from './contracts/disks.ts';
import type { OutgoingBody } from './disk-routes-send.ts';
import { compressBody } from './disk-zstd.ts';
import type { AppContext } from './mount.ts';
import { decideRange } from './range.ts';

/** The answer to a request for a recipe: a body to send, or a status with headers and no body. */
export type RecipeAnswer =
  | { readonly body: OutgoingBody }
  | { readonly status: 304 | 416; readonly headers: Readonly<Record<string, string>> };

/** Decides by the request's headers what of the file is sent, and how. */
export function answerRecipe(
  context: AppContext,
  digest: string,
  file: RecipeFile,
  compressionLevel: number,
): RecipeAnswer {
  const header = (name: string): string | undefined => context.req.header(name);
  const zstdTag = `${digest}-zstd`;
  const shared = { 'accept-ranges': 'bytes', vary: 'accept-encoding' };
  if (matchesAnyTag(header('if-none-match'), [digest, zstdTag])) {
    return { status: 304, headers: { ...shared, etag: `"${digest}"` } };
  }
  const rangeHeader = rangeStands(header('if-range'), digest) ? header('range') : undefined;
  const decision = decideRange(rangeHeader, file.sizeBytes);
  if (decision.status === 416) {
    return { status: 416, headers: { ...shared, 'content-range': decision.contentRange } };
  }
  const headers = { ...shared, 'content-type': RECIPE_MEDIA_TYPE, etag: `"${digest}"` };
  if (decision.status === 206) {
    const { fromByte, toByte } = decision.range;
    const length = { 'content-length': String(toByte - fromByte) };
    const all = { ...headers, ...length, 'content-range': decision.contentRange };
    return { body: { status: 206, headers: all, pieces: file.read(fromByte, toByte) } };
  }
  const whole = file.read(0, file.sizeBytes);
  if (acceptsCoding(header('accept-encoding'), 'zstd')) {
    const coded = { ...headers, etag: `"${zstdTag}"`, 'content-encoding': 'zstd' };
    return { body: { status: 200, headers: coded, pieces: compressBody(whole, compressionLevel) } };
  }
  const length = { 'content-length': String(file.sizeBytes) };
  return { body: { status: 200, headers: { ...headers, ...length }, pieces: whole } };
}

/** The answer to a request for the outline of a recipe. */
export function answerOutline(
  context: AppContext,
  disk: Pick<ServedDisk, 'digest' | 'recipe'>,
  compressionLevel: number,
): RecipeAnswer {
  const tag = `${disk.digest}-outline`;
  const zstdTag = `${tag}-zstd`;
  const shared = { vary: 'accept-encoding' };
  if (matchesAnyTag(context.req.header('if-none-match'), [tag, zstdTag])) {
    return { status: 304, headers: { ...shared, etag: `"${tag}"` } };
  }
  const headers = { ...shared, 'content-type': RECIPE_OUTLINE_MEDIA_TYPE };
  const pieces = streamOf(outlinePieces(disk.recipe));
  if (acceptsCoding(context.req.header('accept-encoding'), 'zstd')) {
    const coded = { ...headers, etag: `"${zstdTag}"`, 'content-encoding': 'zstd' };
    return {
      body: { status: 200, headers: coded, pieces: compressBody(pieces, compressionLevel) },
    };
  }
  const length = { 'content-length': String(outlineLength(disk.recipe)) };
  return { body: { status: 200, headers: { ...headers, ...length, etag: `"${tag}"` }, pieces } };
}

/** The answer to a request body that names rows. Throws `invalid_input`, `too_large`. */
export function recipeRowsBody(
  context: AppContext,
  recipe: Recipe,
  body: Uint8Array,
  compressionLevel: number,
): OutgoingBody {
  const runs = decodeRowRequest(body, nonZeroSegmentCount(recipe));
  const index = indexes.get(recipe) ?? buildRecipeIndex(recipe);
  indexes.set(recipe, index);
  const headers = { 'content-type': RECIPE_ROWS_MEDIA_TYPE, 'cache-control': 'no-store' };
  const pieces = streamOf(rowPieces(recipe, index, runs));
  if (acceptsCoding(context.req.header('accept-encoding'), 'zstd')) {
    const coded = { ...headers, 'content-encoding': 'zstd' };
    return { status: 200, headers: coded, pieces: compressBody(pieces, compressionLevel) };
  }
  const length = String(rowsLength(rowCountOf(runs), keyCountOf(index, runs)));
  return { status: 200, headers: { ...headers, 'content-length': length }, pieces };
}

async function* streamOf(pieces: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

/** Indexes live as long as the library keeps the recipe. */
const indexes = new WeakMap<Recipe, RecipeIndex>();

/** Provers keep a recipe's Merkle trees; they live as long as the library keeps the recipe. */
const provers = new WeakMap<Recipe, RangeProver>();

/** The body for a range of one column. Throws `invalid_input`, `too_large`. */
export function recipeRangeBody(
  recipe: Recipe,
  column: RecipeColumn,
  from: number,
  to: number,
): OutgoingBody {
  const prover = provers.get(recipe) ?? createRangeProver(recipe);
  provers.set(recipe, prover);
  const bytes = prover.encode(column, from, to);
  return {
    status: 200,
    headers: {
      'content-type': RECIPE_RANGE_MEDIA_TYPE,
      'content-length': String(bytes.length),
    },
    pieces: streamOf([bytes]),
  };
}
