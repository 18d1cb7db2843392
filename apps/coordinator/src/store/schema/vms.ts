/** Room: store, schema. VMs: a name and the origin that it belongs to. */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { GeneratedId, Timestamp } from './columns.ts';

export interface VmsTable {
  id: GeneratedId<Id>;
  project_id: Id;
  name: Name;
  origin_id: Id;
  created_at: Timestamp;
  /** A forgotten VM is there for its teleports only. */
  forgotten_at: Date | null;
}
