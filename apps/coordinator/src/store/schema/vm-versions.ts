/** Room: store, schema. Versions of VMs: the description as its origin signed it. */

import type { Description, VersionState } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Json, Timestamp } from './columns.ts';

export interface VmVersionsTable {
  vm_id: Id;
  version: number;
  state: VersionState;
  description: Json<Description>;
  signed_description: string;
  /** SHA-256 of `signed_description`, hexadecimal: how the desired state names it. */
  description_digest: Digest;
  /** SHA-256 of the description's content, hexadecimal: the same version says the same. */
  content_hash: string;
  announced_at: Timestamp;
}
