/**
 * Room: coordinator, ports. What services know of the store and of the log: shapes only. The
 * composition root hands over what fills them.
 */

export type { AheadSum, ReadAhead } from './store/ahead-store.ts';
export type { CapturedState, CaptureRow } from './store/capture-store.ts';
export type { EnrolmentToken } from './store/client-store.ts';
export type { DeliveryCount, TierSum } from './store/delivery-store.ts';
export type { ExportRow } from './store/export-store.ts';
export type { VmUse } from './store/forgotten-vms.ts';
export type { DiskInMaking, HolderRow } from './store/holder-store.ts';
export type { DisputedDisk, HeldImage, ImageFacts } from './store/image-store.ts';
export type { MoveRow } from './store/move-store.ts';
export type { Beat, NewNode, NodeFacts, NodeHealth } from './store/node-store.ts';
export type { ImportRow, OpenSeedRow } from './store/order-store.ts';
export type { PackageBounds, PackageRow } from './store/package-store.ts';
export type { DiskScore } from './store/schema/scores.ts';
export type {
  DeliveryValue,
  DestinationValue,
  EndpointValue,
  FunctionalCopyValue,
  PlaceValue,
  PublicKeyValue,
  ReceiptValue,
  TraceUseValue,
} from './store/schema/values.ts';
export type { Store, Tables, Wakes } from './store/store.ts';
export type { TeleportRow } from './store/teleport-store.ts';
export type { TraceBounds } from './store/trace-store.ts';
export type { DiskRow, FreeSpaceRow, VersionRow, Vm } from './store/vm-store.ts';

/** What happened: names with few values, so that they can be counted. */
export type EventName =
  | 'enrolment_token_made'
  | 'node_enrolled'
  | 'node_back'
  | 'version_announced'
  | 'version_state'
  | 'holdings_changed'
  | 'teleport_requested'
  | 'teleport_state'
  | 'teleport_cancelled'
  | 'teleport_rerouted'
  | 'teleport_stuck'
  | 'fence_state'
  | 'seed_requested'
  | 'seed_state'
  | 'import_requested'
  | 'import_state'
  | 'export_requested'
  | 'export_state'
  | 'power_requested'
  | 'capture_requested'
  | 'capture_state'
  | 'vm_forgotten'
  | 'package_recipe_added'
  | 'package_recipe_conflict'
  | 'package_recipes_evicted'
  | 'boot_trace_kept'
  | 'boot_traces_evicted'
  | 'receipt_kept'
  | 'receipt_refused';

/** Says that something happened; identifiers go into the facts. */
export type Events = (name: EventName, facts?: Readonly<Record<string, unknown>>) => void;
