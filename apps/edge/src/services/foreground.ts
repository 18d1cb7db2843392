/**
 * Room: edge, services. Whether somebody waits for what this edge does now: background work stops then.
 *
 * I1: deliveries, imports and exports count, seeds too; planning and packages ahead of time do not.
 */

import type { DiskDeliveries } from './deliver-disk.ts';

export interface Foreground {
  readonly isBusy: boolean;
  /** The same work, which counts. */
  counted<Order, Result>(
    work: (order: Order) => Promise<Result>,
  ): (order: Order) => Promise<Result>;
}

export function createForeground(deliveries: Pick<DiskDeliveries, 'active'>): Foreground {
  let running = 0;
  return {
    get isBusy() {
      return running + deliveries.active > 0;
    },
    counted: (work) => async (order) => {
      running += 1;
      try {
        return await work(order);
      } finally {
        running -= 1;
      }
    },
  };
}
