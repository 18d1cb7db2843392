/**
 * Room: edge, composition root. Wires what reads whole disks of this machine at a user's order: imports,
 * exports and captures. Somebody waits for each of them.
 */

import { join } from 'node:path';
import type { HashPool } from '@vmdn/core/io/hashing/hash-pool.ts';
import { createDiskInspector } from '@vmdn/core/io/inspect/inspect-guest.ts';
import { createCaptureVm } from '@vmdn/core/io/store/capture-vm.ts';
import { createExportVm } from '@vmdn/core/io/store/export-vm.ts';
import { createImportImage } from '@vmdn/core/io/store/import-image.ts';
import type { PackageMachine } from './edge-packages.ts';
import type { Foreground } from './services/foreground.ts';
import type { EdgeSettings } from './settings.ts';

export function wireWholeDisks(
  { stateDir, importDirs }: Pick<EdgeSettings, 'stateDir' | 'importDirs'>,
  machine: Pick<PackageMachine, 'store' | 'runner' | 'socketDir' | 'appliance' | 'workDir'>,
  { pool, foreground }: { readonly pool: HashPool; readonly foreground: Foreground },
) {
  const { store, runner, socketDir } = machine;
  const common = { store, runner, socketDir, pool };
  const inspect = createDiskInspector(machine);
  return {
    importImage: foreground.counted(createImportImage({ ...common, importDirs })),
    exportVm: foreground.counted(createExportVm({ ...common, dir: join(stateDir, 'exports') })),
    captureVm: foreground.counted(createCaptureVm({ ...common, inspect })),
  };
}
