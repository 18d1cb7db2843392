/** Room: store, schema. Deliveries: absolute counters, one row per teleport, epoch, disk and tier. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Tier } from '@vmdn/core/domain/tiers.ts';
import type { NullableJson } from './columns.ts';
import type { DeliveryValue } from './values.ts';

export interface DeliveredDisksTable {
  teleport_id: Id;
  epoch: number;
  digest: Digest;
  edge_id: Id;
  /** The version that was delivered: a teleport that starts over delivers a newer one. */
  version: number;
  virtual_size_bytes: number;
  verified_bytes: number;
  /** What the plan said before the first block. */
  planned: NullableJson<NonNullable<DeliveryValue['planned']>>;
  seconds: number | null;
}

export interface DeliveriesTable {
  teleport_id: Id;
  epoch: number;
  digest: Digest;
  tier: Tier;
  disk_bytes: number;
  wire_bytes: number;
}
