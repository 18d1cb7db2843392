/**
 * Room: domain. The candidates of a wanted disk: local images ranked by the bytes of it that they cover.
 *
 * I1: exact: covered bytes come from one scan of whole key columns, never from a sample.
 */

import type { Digest } from './digest.ts';
import { createMatcher } from './match.ts';
import type { Name } from './names.ts';
import type { Recipe } from './recipe.ts';

/** Candidates in a summary: what a person reads and a report carries. */
export const CANDIDATES_MAX = 64;

/** A local image as a source for a wanted disk. */
export interface Candidate {
  readonly digest: Digest;
  readonly name: Name | null;
  readonly coveredBytes: number;
}

export interface Scores {
  /** For each recipe of the library, in its order. */
  readonly coveredBytes: number[];
  /** Bytes that at least one of them covers. */
  readonly unionBytes: number;
}

/** Scores every recipe of a library against a wanted one. `seed` as in MatchOptions. */
export function scoreLibrary(wanted: Recipe, library: Iterable<Recipe>, seed: number): Scores {
  using matcher = createMatcher(wanted, { placesPerKey: 0, seed });
  const coveredBytes: number[] = [];
  for (const recipe of library) coveredBytes.push(matcher.scan(recipe));
  return { coveredBytes, unionBytes: matcher.coveredBytes() };
}

/** The images that cover anything, best first. */
export function bestCandidates(
  images: readonly { readonly digest: Digest; readonly name: Name | null }[],
  coveredBytes: readonly number[],
): Candidate[] {
  return images
    .map(({ digest, name }, i) => ({ digest, name, coveredBytes: coveredBytes[i] ?? 0 }))
    .filter((candidate) => candidate.coveredBytes > 0)
    .sort((a, b) => b.coveredBytes - a.coveredBytes)
    .slice(0, CANDIDATES_MAX);
}
