/** Room: store, schema. Holdings: which node holds which image, as it last said. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';

export interface HoldingsTable {
  node_id: Id;
  project_id: Id;
  digest: Digest;
  name: Name | null;
  kind: 'base' | 'snapshot' | 'package';
  allocated_bytes: number;
}
