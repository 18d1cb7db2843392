/** Room: store, schema. Captures of delivered VMs. */

import type { CaptureState } from '@vmdn/core/domain/capture.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { GeneratedId, Timestamp } from './columns.ts';

export interface CapturesTable {
  id: GeneratedId<Id>;
  project_id: Id;
  teleport_id: Id;
  edge_id: Id;
  /** The VM that it becomes, and the version of that. */
  vm: Name;
  version: number;
  /** Whether the delivered VM stays off afterwards. */
  keep_stopped: boolean;
  state: GeneratedId<CaptureState>;
  message: string | null;
  error_code: string | null;
  created_at: Timestamp;
  updated_at: Timestamp;
}
