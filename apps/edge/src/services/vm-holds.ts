/**
 * Room: edge, services. VMs that are being captured: they stay off, and nobody starts or removes them.
 *
 * I1: a VM is held while its capture is under way on this edge, whether the coordinator knows of that or
 *     not, and where it is to stay off, until the coordinator has heard of the end. Nothing else holds it:
 *     one that waits for its turn goes on.
 * I2: that which is next is held already while none is under way: after a restart nobody starts it in
 *     between.
 * I3: a VM is awaited, that is not removed, from the moment on in which the coordinator names its capture
 *     until that is over on this edge.
 */

import type { Id } from '@vmdn/core/domain/names.ts';
import type { DesiredCapture } from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import type { DesiredStates } from './desired-states.ts';

export interface VmHolds {
  isHeld(teleport: Id): boolean;
  isAwaited(teleport: Id): boolean;
  /** The capture is under way. */
  begin(order: Pick<DesiredCapture, 'capture' | 'teleport'>): void;
  /** It is over on this edge; its VM stays as it is as long as the coordinator names it. */
  pause(capture: Id): void;
  /** It is over: its VM may go on. */
  end(capture: Id): void;
}

type Stage = 'under way' | 'paused' | 'over';

export function createVmHolds({
  desired,
}: {
  readonly desired: Pick<DesiredStates, 'latest'>;
}): VmHolds {
  const stages = new Map<Id, { readonly teleport: Id; stage: Stage }>();
  const named = (): readonly DesiredCapture[] => desired.latest()?.captures ?? [];
  const stageOf = (capture: Id): Stage | undefined => stages.get(capture)?.stage;
  const underWay = (): readonly Id[] =>
    [...stages.values()].filter(({ stage }) => stage === 'under way').map((one) => one.teleport);
  const next = (): Id | undefined =>
    named().find(({ capture }) => stageOf(capture) === undefined)?.teleport;
  const move = (capture: Id, stage: Stage): void => {
    const present = stages.get(capture);
    if (present !== undefined) present.stage = stage;
    // Only those that the coordinator still names, or that are under way, need to be remembered.
    const known = new Set(named().map((one) => one.capture));
    for (const [one, { stage: now }] of stages) {
      if (now !== 'under way' && !known.has(one)) stages.delete(one);
    }
  };
  return {
    isHeld(teleport) {
      const busy = underWay();
      if (busy.includes(teleport) || (busy.length === 0 && next() === teleport)) return true;
      return named().some((one) => one.teleport === teleport && stageOf(one.capture) === 'paused');
    },
    isAwaited(teleport) {
      if (underWay().includes(teleport)) return true;
      return named().some((one) => one.teleport === teleport && stageOf(one.capture) !== 'over');
    },
    begin({ capture, teleport }) {
      stages.set(capture, { teleport, stage: 'under way' });
    },
    pause: (capture) => move(capture, 'paused'),
    end: (capture) => move(capture, 'over'),
  };
}
