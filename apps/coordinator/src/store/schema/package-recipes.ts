/** Room: store, schema. Recipes of package images, by unpacker and package file. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Timestamp } from './columns.ts';

export interface PackageRecipesTable {
  unpacker: number;
  /** SHA-256 of the package file, hexadecimal. */
  sha256: Digest;
  digest: Digest;
  keys_root: Digest;
  virtual_size_bytes: number;
  non_zero_bytes: number;
  /** Of the recipe file. */
  recipe_bytes: number;
  /** Of `recipe`. */
  packed_bytes: number;
  /** The recipe file, compressed with zstd. */
  recipe: Uint8Array;
  reported_by: Id | null;
  reported_at: Timestamp;
  used_at: Timestamp;
}
