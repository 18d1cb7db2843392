/** Room: store, schema. Recipes, and packages (tier `package`), read ahead of any request: one
 * row for each reading, never changed.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Tier } from '@vmdn/core/domain/tiers.ts';
import type { Timestamp } from './columns.ts';

export interface RecipeReadsTable {
  edge_id: Id;
  read_id: Id;
  digest: Digest;
  tier: Tier;
  wire_bytes: number;
  reported_at: Timestamp;
}
