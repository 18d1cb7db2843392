/** Room: store, schema. Receipts of teleports, as their edges signed them. */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { Json, Timestamp } from './columns.ts';
import type { ReceiptValue } from './values.ts';

export interface ReceiptsTable {
  teleport_id: Id;
  edge_id: Id;
  /** What `jws` says. */
  receipt: Json<ReceiptValue>;
  jws: string;
  received_at: Timestamp;
}
