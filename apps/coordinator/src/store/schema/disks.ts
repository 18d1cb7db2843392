/** Room: store, schema. Disks of versions, in the order of the description. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';

export interface DisksTable {
  vm_id: Id;
  version: number;
  position: number;
  digest: Digest;
  virtual_size_bytes: number;
  non_zero_bytes: number;
  keys_root: Digest;
  recipe_bytes: number;
}
