/** Room: store, schema. Teleports: one row each, a state machine with a lease. */

import type { DatabaseWay } from '@vmdn/core/domain/databases.ts';
import type { IdentityWay } from '@vmdn/core/domain/identity.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { NetworkMap } from '@vmdn/core/domain/networks.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import type { TeleportMethod } from '@vmdn/core/domain/skip-free.ts';
import type { TeleportState } from '@vmdn/core/domain/teleport.ts';
import type {
  GeneratedId,
  GeneratedJson,
  Json,
  NullableJson,
  NullableTimestamp,
  Timestamp,
} from './columns.ts';
import type {
  DestinationValue,
  EndpointValue,
  FunctionalCopyValue,
  PlaceValue,
  TraceUseValue,
} from './values.ts';

export interface TeleportsTable {
  id: GeneratedId<Id>;
  project_id: Id;
  request_id: Id | null;
  vm_id: Id;
  version: number;
  near: Json<PlaceValue>;
  within_km: number | null;
  method: GeneratedId<TeleportMethod>;
  /** Whether it delivers the disks without their free space. */
  skip_free: GeneratedId<boolean>;
  /** Whether the VM is started before its disks are complete. */
  lazy: GeneratedId<boolean>;
  /** How the databases of a functional copy come. */
  databases: GeneratedId<DatabaseWay>;
  identity: GeneratedId<IdentityWay>;
  /** That was wished for a fresh identity. */
  hostname: string | null;
  /** Networks of the VM under other names at its edge. */
  networks: GeneratedJson<NetworkMap>;
  /** What its edge said of the functional copy that it made. */
  functional: NullableJson<FunctionalCopyValue>;
  state: TeleportState;
  epoch: GeneratedId<number>;
  edge_id: Id;
  /** When the edge first reported under this epoch. */
  taken_on_at: NullableTimestamp;
  /** Null when nobody needs to hold it: the teleport is final. */
  lease_expires_at: NullableTimestamp;
  /** The edge said that it removed a cancelled VM. */
  released: GeneratedId<boolean>;
  /** Its disks go with a cancelled VM. */
  drop_snapshot: GeneratedId<boolean>;
  /** Whether the delivered VM should be on, and whether it is, as its edge said last. */
  power: GeneratedId<Power>;
  actual_power: GeneratedId<Power>;
  spilled: boolean;
  chosen: Json<DestinationValue>;
  others: Json<readonly DestinationValue[]>;
  endpoints: GeneratedJson<readonly EndpointValue[]>;
  phases: GeneratedJson<Readonly<Record<string, number>>>;
  accelerator: 'kvm' | 'tcg' | null;
  /** Of a lazy VM: until it was ready, in which a read of it waited. */
  stall_seconds: number | null;
  /** What of an earlier boot was asked for ahead. */
  trace: NullableJson<TraceUseValue>;
  message: string | null;
  error_code: string | null;
  created_at: Timestamp;
  updated_at: Timestamp;
  finished_at: NullableTimestamp;
  /** When the running VM's disks were complete: from then on it needs nobody. */
  independent_at: NullableTimestamp;
}
