/**
 * Room: formats. Rows of a recipe (docs/formats/recipe-outline.md): the request that names them, the answer
 * that carries what an outline left out of them, and the whole recipe put together of both.
 *
 * I1: runs of rows are pairs (first row, row count), ascending, not overlapping, none empty.
 * I2: decodeRowRequest is total: `invalid_input` for bytes that break I1 or name rows that there are not,
 *     `too_large` beyond the limits.
 * I3: the length of the right answer follows from outline, known rows and request, before it is asked for;
 *     any other answer is `corrupt`.
 * I4: a recipe that was put together is believed when `verifyRecipe` found both of its roots, not before.
 */

import { HASH_BYTES } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { MAX_ROW_RUNS_PER_REQUEST } from '../domain/limits.ts';
import type { Recipe } from '../domain/recipe.ts';
import { popcount32, type RecipeIndex } from '../domain/recipe-index.ts';
import {
  type KnownRows,
  knownKeyCount,
  PREFIX_BYTES,
  type RecipeOutline,
  type RowRuns,
  rowCountOf,
} from '../domain/recipe-outline.ts';
import { BLOCKS_PER_SEGMENT, divCeil } from '../domain/units.ts';
import { cutRows, inPieces } from './column-pieces.ts';
import { blankRecipe, bytesOf, checkRecipe, type RecipeFileBytes } from './recipe.ts';

export const ROW_REQUEST_MAGIC = 'VMDNRRQ1';
export const ROWS_MAGIC = 'VMDNROW1';
const HEADER_BYTES = 16;
const TAIL_BYTES = HASH_BYTES - PREFIX_BYTES;

/** The largest request that decodes: for the HTTP layer's own limit. */
export const MAX_ROW_REQUEST_BYTES = HEADER_BYTES + MAX_ROW_RUNS_PER_REQUEST * 8;

/** The request for `runs`. */
export function encodeRowRequest(runs: RowRuns): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + runs.byteLength);
  writeHeader(bytes, ROW_REQUEST_MAGIC, runs.length / 2, 0);
  bytes.set(bytesOf(runs), HEADER_BYTES);
  return bytes;
}

/** Reads a request for rows of a recipe that has `rows`. */
export function decodeRowRequest(bytes: Uint8Array, rows: number): RowRuns {
  if (bytes.length < HEADER_BYTES) throw invalid('truncated');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!hasMagic(bytes, ROW_REQUEST_MAGIC)) throw invalid('wrong magic');
  const count = view.getUint32(8, true);
  if (view.getUint32(12, true) !== 0) throw invalid('reserved bytes are set');
  if (count > MAX_ROW_RUNS_PER_REQUEST) {
    const max = MAX_ROW_RUNS_PER_REQUEST;
    throw new VmdnError('too_large', `A request for rows names at most ${max} runs; join some.`, {
      data: { count, max },
    });
  }
  if (count === 0 || bytes.length !== HEADER_BYTES + count * 8) throw invalid('wrong length');
  const runs = new Uint32Array(count * 2);
  for (let i = 0, end = 0; i < runs.length; i += 2) {
    runs[i] = view.getUint32(HEADER_BYTES + i * 4, true);
    runs[i + 1] = view.getUint32(HEADER_BYTES + i * 4 + 4, true);
    if (runs[i + 1] === 0) throw invalid('an empty run');
    if (runs[i]! < end) throw invalid('runs overlap or are out of order');
    end = runs[i]! + runs[i + 1]!;
    if (end > rows) throw invalid('a row that there is not');
  }
  return runs;
}

/** The answer to a request, in pieces of their own memory. `index` is that of the recipe. */
export function rowPieces(
  recipe: Recipe,
  index: Pick<RecipeIndex, 'firstKeyOf'>,
  runs: RowRuns,
): Generator<Uint8Array> {
  return inPieces(rowParts(recipe, index, runs));
}

/** How many bytes an answer with so many rows and keys has. */
export function rowsLength(rows: number, keys: number): number {
  return HEADER_BYTES + divCeil(rows * 2, 8) * 8 + rows * TAIL_BYTES + keys * 8;
}

/** How many keys the rows of `runs` have in all. */
export function keyCountOf(index: Pick<RecipeIndex, 'firstKeyOf'>, runs: RowRuns): number {
  let keys = 0;
  for (let i = 0; i < runs.length; i += 2) {
    keys += index.firstKeyOf(runs[i]! + runs[i + 1]!) - index.firstKeyOf(runs[i]!);
  }
  return keys;
}

function* rowParts(
  recipe: Recipe,
  index: Pick<RecipeIndex, 'firstKeyOf'>,
  runs: RowRuns,
): Generator<Uint8Array> {
  const rows = rowCountOf(runs);
  const header = new Uint8Array(HEADER_BYTES);
  writeHeader(header, ROWS_MAGIC, rows, keyCountOf(index, runs));
  yield header;
  for (let i = 0; i < runs.length; i += 2) {
    yield bytesOf(recipe.blockMasks.subarray(runs[i]!, runs[i]! + runs[i + 1]!));
  }
  yield new Uint8Array(divCeil(rows * 2, 8) * 8 - rows * 2);
  for (let i = 0; i < runs.length; i += 2) {
    const run = { first: runs[i]!, count: runs[i + 1]! };
    const cut = { from: PREFIX_BYTES, to: HASH_BYTES };
    yield* cutRows(recipe.segmentHashes, HASH_BYTES, run, cut);
  }
  for (let i = 0; i < runs.length; i += 2) {
    const from = 2 * index.firstKeyOf(runs[i]!);
    const to = 2 * index.firstKeyOf(runs[i]! + runs[i + 1]!);
    yield bytesOf(recipe.keys.subarray(from, to));
  }
}

/** What is asked for, and what the right answer must look like. */
export interface RowsAsked {
  readonly outline: RecipeOutline;
  readonly known: KnownRows;
  /** Every row that is not known, and perhaps others. */
  readonly runs: RowRuns;
}

/** The length in bytes of the right answer (I3). Throws `corrupt` when no answer can be right. */
export function expectedRowsLength({ outline, known, runs }: RowsAsked): number {
  const rows = rowCountOf(runs);
  const keys = outline.keyCount - knownKeyCount(known, runs);
  if (keys < rows || keys > rows * BLOCKS_PER_SEGMENT) {
    throw corrupt("the outline's keys do not agree with those that are known");
  }
  return rowsLength(rows, keys);
}

interface RowColumns {
  readonly masks: Uint16Array;
  readonly tails: Uint8Array;
  readonly keys: Uint32Array;
}

function decodeRows(bytes: Uint8Array, asked: RowsAsked): RowColumns {
  if (bytes.length !== expectedRowsLength(asked)) throw corrupt('wrong length');
  if (!hasMagic(bytes, ROWS_MAGIC)) throw corrupt('wrong magic');
  const aligned = bytes.byteOffset % 4 === 0 ? bytesOf(bytes) : new Uint8Array(bytes);
  const header = new DataView(aligned.buffer, aligned.byteOffset, HEADER_BYTES);
  const [rows, keys] = [header.getUint32(8, true), header.getUint32(12, true)];
  if (rows !== rowCountOf(asked.runs) || rowsLength(rows, keys) !== bytes.length) {
    throw corrupt('not the rows that were asked for');
  }
  const at = aligned.byteOffset;
  const tailsAt = HEADER_BYTES + divCeil(rows * 2, 8) * 8;
  const keysAt = tailsAt + rows * TAIL_BYTES;
  for (let i = HEADER_BYTES + rows * 2; i < tailsAt; i += 1) {
    if (aligned[i] !== 0) throw corrupt('padding is set');
  }
  // Masks that do not agree with the keys make a recipe that is not well-formed.
  const masks = new Uint16Array(aligned.buffer, at + HEADER_BYTES, rows);
  const tails = aligned.subarray(tailsAt, keysAt);
  return { masks, tails, keys: new Uint32Array(aligned.buffer, at + keysAt, keys * 2) };
}

/**
 * The whole recipe, in its file: known rows, and the others from an answer (none when nothing was asked for).
 * It is well-formed and not verified (I4). Throws `corrupt`.
 */
export function assembleRecipe(asked: RowsAsked, answer: Uint8Array | null): RecipeFileBytes {
  const { outline, known, runs } = asked;
  if (answer === null) expectedRowsLength(asked);
  const fetched = answer === null ? null : decodeRows(answer, asked);
  const rows = known.firstOf.length;
  const file = blankRecipe(outline, rows, outline.keyCount);
  const { segmentHashes, blockMasks, keys } = file.recipe;
  const prefixes = bytesOf(outline.prefixes);
  let [run, taken, takenKey, key] = [0, 0, 0, 0];
  for (let row = 0; row < rows; row += 1) {
    while (run < runs.length && row >= runs[run]! + runs[run + 1]!) run += 2;
    const isFetched = run < runs.length && row >= runs[run]!;
    const first = known.firstOf[row]!;
    const mask = isFetched ? fetched!.masks[taken]! : known.masks[first]!;
    const count = popcount32(mask);
    const source = isFetched ? fetched!.keys : known.keys;
    const from = isFetched ? takenKey : known.firstKeys[first]!;
    blockMasks[row] = mask;
    for (let i = 0; i < 2 * count; i += 1) keys[2 * key + i] = source[2 * from + i]!;
    const at = row * HASH_BYTES;
    if (isFetched) {
      copyBytes(prefixes, row * PREFIX_BYTES, segmentHashes, at, PREFIX_BYTES);
      copyBytes(fetched!.tails, taken * TAIL_BYTES, segmentHashes, at + PREFIX_BYTES, TAIL_BYTES);
      taken += 1;
      takenKey += count;
    } else {
      copyBytes(known.hashes, first * HASH_BYTES, segmentHashes, at, HASH_BYTES);
    }
    key += count;
  }
  checkRecipe(file.recipe);
  return file;
}

/** Without a view for each row. */
function copyBytes(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  count: number,
): void {
  for (let i = 0; i < count; i += 1) target[to + i] = source[from + i]!;
}

function writeHeader(bytes: Uint8Array, magic: string, first: number, second: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  bytes.set(new TextEncoder().encode(magic), 0);
  view.setUint32(8, first, true);
  view.setUint32(12, second, true);
}

function hasMagic(bytes: Uint8Array, magic: string): boolean {
  for (let i = 0; i < magic.length; i += 1) {
    if (bytes[i] !== magic.charCodeAt(i)) return false;
  }
  return true;
}

function invalid(what: string): VmdnError {
  return new VmdnError('invalid_input', `A request for rows is malformed (${what}).`, {
    data: { what },
  });
}

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `Rows of a recipe are wrong (${what}); ask another source.`, {
    data: { what },
  });
}
