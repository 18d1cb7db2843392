/** Room: store, schema. Enrolment tokens: one node each, once, until they expire. */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { GeneratedId, Timestamp } from './columns.ts';

export interface EnrolmentTokensTable {
  id: GeneratedId<Id>;
  project_id: Id;
  token_hash: Buffer;
  kind: 'origin' | 'edge';
  expires_at: Timestamp;
  used_by: Id | null;
  created_at: Timestamp;
}
