/**
 * Room: edge, decisions (pure). What to do next for one teleport, from what should be and what is.
 *
 * I1: nothing is remembered between two decisions but what `TeleportActual` says, so a pass may begin
 *     anywhere: after a kill, after a restart, after the coordinator changed its mind.
 * I2: a VM is defined and started only when the coordinator confirmed this edge's epoch after the disks
 *     were there, or, for a lazy one, could be read (`confirmed`); what already runs is never started again.
 * I3: a teleport that is over (cancelled, failed) ends with its VM removed; its images stay.
 * I4: a VM whose disks are other than the version's (a new epoch brought a new version) is removed
 *     before the new one is defined; never while the disks of the new one can't be had yet, unless it
 *     stands stopped in the way.
 * I5: a lazy VM is brought up before its disks are complete, and is not done before it needs no export
 *     any more and the coordinator knows.
 * I6: a VM that was delivered is kept off where that is wished, before anything else: it is also stopped
 *     when nobody has the rest of its disk. One that is held is neither started nor stopped here.
 * I7: whether a VM that was delivered is on is told until the coordinator has heard it, after what moves
 *     bytes.
 * I8: the disks of a lazy VM that is off are completed and settled as those of one that runs; it may be
 *     started again at any moment between.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import { mayMove, TELEPORT_STATES, type TeleportState } from '@vmdn/core/domain/teleport.ts';

/** The VM on this edge. `other`: it exists with another definition than the version's. */
export type VmActual = 'absent' | 'other' | 'defined' | 'running';

export interface TeleportActual {
  /** Disks of the version that the store does not hold, each once, in the version's order. */
  readonly missing: readonly Digest[];
  /** A guest can read the missing disks: they are on their way at this moment. */
  readonly opened: boolean;
  readonly vm: VmActual;
  /** The VM reads a disk from an export, or would if it ran. */
  readonly filling: boolean;
  /** The coordinator said, for this epoch, that the disks are verified and the VM may boot. */
  readonly confirmed: boolean;
  /** The guest's ready check succeeded since it was started. */
  readonly ready: boolean;
  /** The coordinator was told that the VM needs nobody any more, or that must wait for its next start. */
  readonly independent: boolean;
  /** What the coordinator was told last of whether a VM that was delivered is on; null: not known. */
  readonly toldPower: Power | null;
  /** The coordinator was told that nothing of the teleport is left here. */
  readonly released: boolean;
}

export type TeleportStep =
  /** Make the first missing disk. */
  | { readonly do: 'deliver'; readonly digest: Digest }
  /** Begin to make all missing disks, until a guest can read them. */
  | { readonly do: 'open' }
  /** Wait until the disks that were opened are complete, or something else is wished. */
  | { readonly do: 'complete' }
  /** Let the VM read its complete disks from their files. */
  | { readonly do: 'settle' }
  /** Ask the coordinator whether this epoch may boot. */
  | { readonly do: 'confirm' }
  | { readonly do: 'define' }
  | { readonly do: 'start' }
  /** Shut the guest down; its VM stays. */
  | { readonly do: 'stop' }
  /** Say that the VM is off, and whether it needs nobody any more. */
  | { readonly do: 'tell-off' }
  /** Say that the VM is on, and where it is reachable. */
  | { readonly do: 'tell-on' }
  | { readonly do: 'await-ready' }
  /** Say where the VM is reachable. */
  | { readonly do: 'announce' }
  /** Remove a VM that is in the way. */
  | { readonly do: 'discard' }
  /** Stop and remove the VM and say so. */
  | { readonly do: 'remove' }
  | { readonly do: 'nothing' };

/** What the coordinator wants of a teleport. */
export interface TeleportWish {
  readonly state: TeleportState;
  readonly lazy: boolean;
  /** `held`: somebody else works with a VM that must stay as it is. */
  readonly power: Power | 'held';
}

/** The next step for a teleport that the coordinator wants so. */
export function nextTeleportStep(desired: TeleportWish, actual: TeleportActual): TeleportStep {
  const { state, lazy } = desired;
  if (state === 'cancelled' || state === 'failed') {
    return { do: actual.vm === 'absent' && actual.released ? 'nothing' : 'remove' };
  }
  const isOffWished = state === 'running' && desired.power === 'off';
  if (isOffWished && actual.vm === 'running') return { do: 'stop' };
  const [missing] = actual.missing;
  if (missing !== undefined && !lazy) return { do: 'deliver', digest: missing };
  if (missing !== undefined && !actual.opened) return { do: 'open' };
  if (actual.vm === 'other') return { do: 'discard' };
  if (actual.vm === 'running') return nextOfRunning(desired, actual);
  if (state === 'running' && desired.power !== 'on') return nextOfOff(desired, actual);
  if (!actual.confirmed) return { do: 'confirm' };
  return { do: actual.vm === 'absent' ? 'define' : 'start' };
}

function nextOfRunning({ state, lazy }: TeleportWish, actual: TeleportActual): TeleportStep {
  const isMissing = actual.missing.length > 0;
  if (!isMissing && actual.filling) return { do: 'settle' };
  if (state !== 'running') return { do: actual.ready ? 'announce' : 'await-ready' };
  if (isMissing) return { do: 'complete' };
  if (lazy && !actual.independent) return { do: 'announce' };
  return { do: actual.toldPower === 'on' ? 'nothing' : 'tell-on' };
}

function nextOfOff({ lazy, power }: TeleportWish, actual: TeleportActual): TeleportStep {
  if (actual.missing.length > 0) return { do: 'complete' };
  if (actual.filling) return { do: 'settle' };
  const isTold = actual.toldPower === 'off' && (!lazy || actual.independent);
  return { do: power === 'off' && !isTold ? 'tell-off' : 'nothing' };
}

/** Whether the step leads to a VM that has no overlays yet; one that exists has its room already. */
export function leadsToNewVm(step: TeleportStep, vm: VmActual): boolean {
  const isOnTheWay = ['deliver', 'open', 'confirm', 'define'].includes(step.do);
  return isOnTheWay && (vm === 'absent' || vm === 'other');
}

/**
 * The states to report, in order, so that the coordinator's table of moves (core/domain/teleport.ts)
 * takes each: the shortest way from `from`, the state that it has, to `to`, the state that is true.
 * Just `to` when there is no way: the coordinator's refusal says the rest.
 */
export function reportPath(
  from: TeleportState,
  to: TeleportState,
  isLazy: boolean,
): readonly TeleportState[] {
  if (from === to) return [to];
  const paths: TeleportState[][] = [[from]];
  const seen = new Set<TeleportState>([from]);
  for (const path of paths) {
    for (const next of TELEPORT_STATES) {
      if (seen.has(next) || !mayMove(path.at(-1)!, next, isLazy)) continue;
      if (next === to) return [...path.slice(1), to];
      seen.add(next);
      paths.push([...path, next]);
    }
  }
  return [to];
}
