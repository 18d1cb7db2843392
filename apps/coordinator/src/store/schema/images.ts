/** Room: store, schema. Images by digest: what is the same wherever they lie. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Timestamp } from './columns.ts';

export interface ImagesTable {
  project_id: Id;
  digest: Digest;
  keys_root: Digest;
  virtual_size_bytes: number;
  non_zero_bytes: number;
  created_at: Timestamp;
}
