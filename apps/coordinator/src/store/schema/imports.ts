/** Room: store, schema. Imports of disk files as base images. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { DiskFormat } from '@vmdn/core/domain/vm-specification.ts';
import type { GeneratedId, Timestamp } from './columns.ts';

export type ImportState = 'pending' | 'running' | 'done' | 'failed';

export interface ImportsTable {
  id: GeneratedId<Id>;
  project_id: Id;
  edge_id: Id;
  name: Name;
  file: string;
  format: DiskFormat;
  state: GeneratedId<ImportState>;
  message: string | null;
  error_code: string | null;
  digest: Digest | null;
  created_at: Timestamp;
  updated_at: Timestamp;
}
