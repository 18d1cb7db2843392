/**
 * Room: edge, services. Whether somebody waits for what this edge does now: background work stops then.
 *
 * I1: deliveries and imports count, seeds too; planning and packages ahead of time do not.
 */

import type { ImportImage } from '@vmdn/core/io/ports/import-image.ts';
import type { DiskDeliveries } from './deliver-disk.ts';

export interface Foreground {
  readonly isBusy: boolean;
  /** The same imports, which count. */
  counted(importImage: ImportImage): ImportImage;
}

export function createForeground(deliveries: Pick<DiskDeliveries, 'active'>): Foreground {
  let imports = 0;
  return {
    get isBusy() {
      return imports + deliveries.active > 0;
    },
    counted: (importImage) => async (order) => {
      imports += 1;
      try {
        return await importImage(order);
      } finally {
        imports -= 1;
      }
    },
  };
}
