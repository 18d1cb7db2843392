/** Room: store, schema. Seeding orders, and how far each edge is with them. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { GeneratedId, NullableJson, Timestamp } from './columns.ts';
import type { DeliveryValue } from './values.ts';

export interface SeedsTable {
  id: GeneratedId<Id>;
  project_id: Id;
  image_name: Name;
  digest: Digest;
  created_at: Timestamp;
}

export type SeedState = 'pending' | 'syncing' | 'waiting' | 'done' | 'failed';

export interface SeedEdgesTable {
  seed_id: Id;
  edge_id: Id;
  state: GeneratedId<SeedState>;
  message: string | null;
  delivery: NullableJson<DeliveryValue>;
  updated_at: Timestamp;
}
