/**
 * Room: http. A recipe over HTTP: the whole file, one byte range of it, or a range of one column
 * that verifies alone.
 *
 * I1: a byte range is always of the file as it is; only the whole file is sent compressed.
 */

import type { Recipe } from '../domain/recipe.ts';
import { createRangeProver, type RangeProver, type RecipeColumn } from '../formats/recipe-range.ts';
import type { RecipeFile } from '../io/ports/recipe-files.ts';
import { acceptsCoding, matchesAnyTag, rangeStands } from './conditional.ts';
import { RECIPE_MEDIA_TYPE, RECIPE_RANGE_MEDIA_TYPE } from './contracts/disks.ts';
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
    pieces: (async function* () {
      yield bytes;
    })(),
  };
}
