/** Room: store, schema. Scores: an edge's plan for a version, in numbers. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { FunctionalCost } from '@vmdn/core/domain/functional-estimate.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { PlanNumbers } from '@vmdn/core/domain/routing-estimate.ts';
import type { Json, Timestamp } from './columns.ts';

export interface DiskScore {
  readonly digest: Digest;
  readonly plan: PlanNumbers;
}

export interface ScoresTable {
  edge_id: Id;
  vm_id: Id;
  version: number;
  project_id: Id;
  disks: Json<readonly DiskScore[]>;
  /** Null: the edge can make no functional copy of it. */
  functional: Json<FunctionalCost> | null;
  computed_at: Timestamp;
  reported_at: Timestamp;
}
