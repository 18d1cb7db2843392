/**
 * Room: io, ports. Completes a recipe from its outline, from recipes that lie here already, and from the
 * rows that none of them knows (docs/formats/recipe-outline.md).
 *
 * I1: `complete` gives the promised recipe or throws: whatever holder, outline, rows and the recipes here
 *     say, both of its roots were recomputed.
 */

import type { Digest } from '../../domain/digest.ts';
import type { KnownRows, RowRuns } from '../../domain/recipe-outline.ts';

export interface OutlineQuestion {
  /** As it was received. It is transferred: the caller's view is empty afterwards. */
  readonly outline: Uint8Array;
  /** Recipe files to look into, the most trusted ones first. One that cannot be read knows nothing. */
  readonly recipePaths: readonly string[];
  /** Length of the recipe file where the signed description tells it. */
  readonly recipeBytes?: number | undefined;
  readonly signal: AbortSignal;
}

export interface ResolvedOutline {
  readonly outline: Uint8Array;
  readonly known: KnownRows;
  /** The rows to ask for; empty when all are known. */
  readonly runs: RowRuns;
  /** Length in bytes of the right answer. */
  readonly rowsBytes: number;
  readonly rows: number;
  readonly missingRows: number;
}

export interface OutlineResolver extends AsyncDisposable {
  /** Throws `corrupt` and `too_large` for the outline, `cancelled`, `internal`. */
  resolve(question: OutlineQuestion): Promise<ResolvedOutline>;
  /**
   * The recipe file. `resolved` and `rows` (null when none were missing) are transferred. Throws `corrupt`,
   * `cancelled`, `internal`.
   */
  complete(
    resolved: ResolvedOutline,
    rows: Uint8Array | null,
    promised: { readonly digest: Digest; readonly keysRoot: Digest },
    signal: AbortSignal,
  ): Promise<Uint8Array>;
}
