/**
 * Room: edge, sync. What a run is given.
 */

import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import type { StagingArea } from '@vmdn/core/io/ports/disk-assembly.ts';
import type { RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import type { SlotArena } from './slot-arena.ts';

export interface SyncRunOptions {
  readonly plan: DiskPlan;
  readonly staging: StagingArea;
  readonly arena: SlotArena;
  readonly states: Uint8Array;
  readonly records: Uint32Array;
  readonly sources: readonly RemoteSource[];
  /** See SyncRequest. */
  readonly place?: number | undefined;
  /** Told of each row that is there now; present: somebody reads the disk meanwhile. */
  readonly onThere?: ((row: number) => void) | undefined;
  /** See SyncRequest. */
  readonly onDemandUntil?: AbortSignal | undefined;
  /** Called after whatever may have changed the progress. */
  readonly onChange: () => void;
}
