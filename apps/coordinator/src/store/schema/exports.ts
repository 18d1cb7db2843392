/** Room: store, schema. Exports of delivered VMs. */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { ExportFormat, ExportState, Hypervisor } from '@vmdn/core/domain/vm-export.ts';
import type { GeneratedId, Timestamp } from './columns.ts';

export interface ExportsTable {
  id: GeneratedId<Id>;
  project_id: Id;
  teleport_id: Id;
  edge_id: Id;
  name: Name;
  format: ExportFormat;
  hypervisor: Hypervisor;
  state: GeneratedId<ExportState>;
  message: string | null;
  error_code: string | null;
  folder: string | null;
  created_at: Timestamp;
  updated_at: Timestamp;
}
