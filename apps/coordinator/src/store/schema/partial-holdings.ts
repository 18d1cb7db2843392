/** Room: store, schema. Partial holdings: which node is making which disk, as it last said. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';

export interface PartialHoldingsTable {
  node_id: Id;
  project_id: Id;
  digest: Digest;
  verified_bytes: number;
}
