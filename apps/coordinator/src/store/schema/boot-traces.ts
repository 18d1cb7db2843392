/** Room: store, schema. What guests read until they were ready, the newest of each version. */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { Timestamp } from './columns.ts';

export interface BootTracesTable {
  vm_id: Id;
  version: number;
  /** docs/formats/boot-trace.md */
  trace: Uint8Array;
  reported_by: Id | null;
  recorded_at: Timestamp;
}
