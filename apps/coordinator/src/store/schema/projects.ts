/** Room: store, schema. Projects: who everything belongs to. */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { GeneratedId, Timestamp } from './columns.ts';

export interface ProjectsTable {
  id: GeneratedId<Id>;
  name: Name;
  created_at: Timestamp;
}
