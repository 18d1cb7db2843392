/**
 * Room: io, ports. What a node that serves disks must be able to do; origins and edges implement
 * it, and http/disk-routes.ts serves any implementation.
 *
 * I1: a ServedDisk reads guest-visible bytes of exactly one digest; when the bytes below may have
 *     changed, reads fail with `withdrawn` instead of mixing versions.
 * I2: `release` is called once per `open`, whatever happened; an implementation may let go of its
 *     source when nobody holds it.
 */

import type { Digest } from '../../domain/digest.ts';
import type { Recipe } from '../../domain/recipe.ts';

/** One disk, opened for reading. Many reads may be in flight. */
export interface ServedDisk {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly recipe: Recipe;
  /** Path of the encoded recipe file (docs/formats/recipe.md), immutable. */
  readonly recipePath: string;
  /** Fills `target` from `offsetBytes` on. Throws `withdrawn`, `corrupt`, `unavailable`. */
  readInto(target: Uint8Array, offsetBytes: number): Promise<void>;
  /** Which segments are present; undefined means all (an edge may serve a disk it holds in part). */
  readonly presentSegments?: Uint8Array;
  release(): Promise<void>;
}

/** The disks that a node can serve. */
export interface DiskLibrary {
  /** Throws `not_found` for a digest that this node does not hold, `withdrawn` for one it no longer has. */
  open(digest: Digest): Promise<ServedDisk>;
}
