/** Room: store, schema. Disks of versions, in the order of the description. */

import type { SkipFreeDisk } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { NullableJson } from './columns.ts';

interface DiskColumns {
  vm_id: Id;
  version: number;
  position: number;
  digest: Digest;
  virtual_size_bytes: number;
  non_zero_bytes: number;
  keys_root: Digest;
  recipe_bytes: number;
}

export interface DisksTable extends DiskColumns {
  /** The disk without its free space; null where its origin did not look for it. */
  skip_free: NullableJson<SkipFreeDisk>;
}

/** A view: the disks that a teleport delivers, by whether it skips free space. */
export interface WantedDisksView extends DiskColumns {
  skip_free: boolean;
}
