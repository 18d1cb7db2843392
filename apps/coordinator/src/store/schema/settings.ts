/** Room: store, schema. Settings of the network as a whole, such as the signing key. */

import type { Json, Timestamp } from './columns.ts';

export interface SettingsTable {
  key: string;
  value: Json<unknown>;
  created_at: Timestamp;
}
