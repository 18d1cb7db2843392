/** Room: store, schema. Moves: one row for each teleport that is one. */

import type { FenceState } from '@vmdn/core/domain/fence.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { GeneratedId, NullableTimestamp, Timestamp } from './columns.ts';

export interface MovesTable {
  teleport_id: Id;
  vm_id: Id;
  fence: GeneratedId<FenceState>;
  /** For which its origin holds the fence, or held it last. */
  epoch: number | null;
  /** Under which its edge was last allowed to boot. */
  granted_epoch: number | null;
  /** Why the origin can't do what it should. */
  problem: string | null;
  /** When the origin first said that the source can't start. */
  fenced_at: NullableTimestamp;
  created_at: Timestamp;
}
