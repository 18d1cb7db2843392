/** Room: store, schema. Nodes: origins and edges, their keys, and what they last said of themselves. */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type {
  GeneratedId,
  GeneratedJson,
  Json,
  NullableJson,
  NullableTimestamp,
  Timestamp,
} from './columns.ts';
import type { HolderFaultValue, PublicKeyValue } from './values.ts';

export interface NodesTable {
  id: GeneratedId<Id>;
  project_id: Id;
  name: Name;
  kind: 'origin' | 'edge';
  region: Name | null;
  latitude: number | null;
  longitude: number | null;
  url: string;
  public_key: Json<PublicKeyValue>;
  thumbprint: string;
  protocol: number;
  last_seen_at: NullableTimestamp;
  free_store_bytes: number | null;
  free_memory_mib: number | null;
  free_vcpus: number | null;
  accelerator: 'kvm' | 'tcg' | null;
  uplink_bytes: number | null;
  uplink_limit: number | null;
  /** Of an edge, by name; null: it has not said. */
  networks: NullableJson<readonly Name[]>;
  holder_faults: GeneratedJson<readonly HolderFaultValue[]>;
  /** Receipts of this edge that were refused. */
  refused_receipts: GeneratedId<number>;
  created_at: Timestamp;
}
