/**
 * Room: formats (tests only). Recipes made of named segments, without bytes behind them, and what a holder
 * and an edge do with them.
 */

import { type Digest, HASH_BYTES } from '../domain/digest.ts';
import type { Recipe } from '../domain/recipe.ts';
import { buildRecipeIndex, popcount32 } from '../domain/recipe-index.ts';
import { createOutlineMatcher, type KnownRows, missingRuns } from '../domain/recipe-outline.ts';
import { SEGMENT_BYTES } from '../domain/units.ts';
import { digestOfRecipe } from './disk-digest.ts';
import { keysRootOfRecipe } from './key-pages.ts';
import { sha256 } from './recipe.fixture.ts';
import { bitmapLength } from './recipe.ts';
import { decodeOutline, outlinePieces } from './recipe-outline.ts';
import { type RowsAsked, rowPieces } from './recipe-rows.ts';

/** The recipe of a disk whose segments hold these contents; 0 is a zero segment. */
export function recipeOfSegments(contents: readonly number[]): Recipe {
  const virtualSizeBytes = contents.length * SEGMENT_BYTES;
  const segmentBitmap = new Uint8Array(bitmapLength(virtualSizeBytes));
  const hashes: Uint8Array[] = [];
  const masks: number[] = [];
  const keys: number[] = [];
  contents.forEach((content, segment) => {
    if (content === 0) return;
    segmentBitmap[segment >> 3]! |= 1 << (segment & 7);
    const hash = sha256(`segment ${content}`);
    const mask = hash.readUInt16LE(20) | 1;
    for (let i = 0; i < popcount32(mask); i += 1) {
      const key = sha256(`block ${content} ${i}`);
      keys.push(key.readUInt32LE(0), key.readUInt32LE(4));
    }
    hashes.push(hash);
    masks.push(mask);
  });
  return {
    virtualSizeBytes,
    segmentBitmap,
    segmentHashes: new Uint8Array(Buffer.concat(hashes)),
    blockMasks: Uint16Array.from(masks),
    keys: Uint32Array.from(keys),
  };
}

/** Both roots of a recipe, as a signed description has them. */
export function rootsOf(recipe: Recipe): { readonly digest: Digest; readonly keysRoot: Digest } {
  return { digest: digestOfRecipe(recipe), keysRoot: keysRootOfRecipe(recipe) };
}

export function outlineOf(recipe: Recipe): Uint8Array {
  return new Uint8Array(Buffer.concat([...outlinePieces(recipe)]));
}

/** The rows of `runs` as an honest holder answers. */
export function answerOf(recipe: Recipe, runs: Uint32Array): Uint8Array {
  return new Uint8Array(Buffer.concat([...rowPieces(recipe, buildRecipeIndex(recipe), runs)]));
}

/** What an edge that has these recipes asks for after it saw an outline. */
export function askFor(outlineBytes: Uint8Array, library: readonly Recipe[]): RowsAsked {
  const outline = decodeOutline(outlineBytes);
  const matcher = createOutlineMatcher(outline, 7);
  for (const recipe of library) matcher.scan(recipe);
  const known: KnownRows = matcher.known();
  return { outline, known, runs: missingRuns(known, 65_536) };
}

/** The same recipe with `change` done to copies of its columns. */
export function changed(recipe: Recipe, change: (copy: Recipe) => void): Recipe {
  const copy = structuredClone(recipe);
  change(copy);
  return copy;
}

/** Another segment with the same prefix in row `row`: what a collision, or a liar, looks like. */
export function withOtherTail(recipe: Recipe, row: number): Recipe {
  return changed(recipe, ({ segmentHashes }) => {
    segmentHashes[row * HASH_BYTES + HASH_BYTES - 1]! ^= 1;
  });
}
