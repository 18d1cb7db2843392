/**
 * Room: edge, services. VMs that are being captured: they stay off, and nobody starts or removes them.
 *
 * I1: a VM is held from the moment on in which the coordinator names its capture until the capture is over
 *     on this edge, whether the coordinator knows that or not: while it is away no VM stays off for it.
 */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { DesiredStates } from './desired-states.ts';

export interface VmHolds {
  isHeld(teleport: Id): boolean;
  /** The capture is over: its VM may go on. */
  end(capture: Id): void;
}

export function createVmHolds({
  desired,
}: {
  readonly desired: Pick<DesiredStates, 'latest'>;
}): VmHolds {
  let ended: ReadonlySet<Id> = new Set();
  return {
    isHeld(teleport) {
      const captures = desired.latest()?.captures ?? [];
      return captures.some((one) => one.teleport === teleport && !ended.has(one.capture));
    },
    end(capture) {
      // Only those that the coordinator still names need to be remembered.
      const named = new Set(desired.latest()?.captures.map((one) => one.capture));
      ended = new Set([...[...ended].filter((one) => named.has(one)), capture]);
    },
  };
}
