/** Room: store, schema. Clients: users by the hash of their token. */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { GeneratedId, Timestamp } from './columns.ts';

export interface ClientsTable {
  id: GeneratedId<Id>;
  project_id: Id;
  name: string;
  token_hash: Buffer;
  created_at: Timestamp;
}
