/**
 * Room: io, sync. What the outline resolver and its worker thread say to each other.
 */

import type { Digest } from '../../domain/digest.ts';
import type { OutlineQuestion, ResolvedOutline } from '../ports/outline-resolver.ts';

export type OutlineOrder =
  | ({ readonly kind: 'resolve' } & Omit<OutlineQuestion, 'signal'>)
  | {
      readonly kind: 'complete';
      readonly resolved: ResolvedOutline;
      readonly rows: Uint8Array | null;
      readonly promised: { readonly digest: Digest; readonly keysRoot: Digest };
    };

/** A resolved outline to the first kind, a recipe file to the second. */
export type OutlineValue = ResolvedOutline | Uint8Array;
