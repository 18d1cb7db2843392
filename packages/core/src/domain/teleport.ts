/**
 * Room: domain. The states of a teleport and the moves between them, as one total table.
 *
 * I1: `running`, `failed` and `cancelled` are final: no report leaves them. Only a user's wish does:
 *     it cancels what runs, which stops and removes the VM (`mayCancel`).
 * I2: a report that names the present state again changes nothing, so reports may be repeated.
 * I3: `waiting` (a source is away) returns to `syncing` by itself; it is never an end.
 * I4: a lazy VM, and no other, boots while its disks are still coming, from `syncing` or `waiting`; what it
 *     still needs when it runs is not a state but a fact beside it (`isSettled`).
 */

export const TELEPORT_STATES = [
  'routed',
  'syncing',
  'waiting',
  'verified',
  'booting',
  'running',
  'failed',
  'cancelled',
] as const;
export type TeleportState = (typeof TELEPORT_STATES)[number];

const NEXT: Readonly<Record<TeleportState, readonly TeleportState[]>> = {
  routed: ['syncing', 'waiting', 'failed', 'cancelled'],
  syncing: ['waiting', 'verified', 'failed', 'cancelled'],
  waiting: ['syncing', 'failed', 'cancelled'],
  verified: ['booting', 'syncing', 'failed', 'cancelled'],
  booting: ['running', 'syncing', 'failed', 'cancelled'],
  running: [],
  failed: [],
  cancelled: [],
};

/** True when nothing more will happen to the teleport. */
export function isFinal(state: TeleportState): boolean {
  return NEXT[state].length === 0;
}

interface Standing {
  readonly state: TeleportState;
  readonly independentAt: Date | string | null;
  readonly errorCode: string | null;
}

/** True while a running VM's disk is not complete: it needs others. */
export function isDependent({ state, independentAt }: Omit<Standing, 'errorCode'>): boolean {
  return state === 'running' && independentAt === null;
}

/**
 * True when a VM runs on a disk of which nobody has the rest: its version was withdrawn. What it reads of
 * that waits; it goes on if somebody has it again.
 */
export function isStranded(teleport: Standing): boolean {
  return isDependent(teleport) && teleport.errorCode === 'withdrawn';
}

/** True when nothing more will happen to it: a VM that runs needs nobody any more, or waits in vain. */
export function isSettled(teleport: Standing): boolean {
  return isFinal(teleport.state) && (!isDependent(teleport) || isStranded(teleport));
}

/** Whether a teleport in state `from` may report `to`. */
export function mayMove(from: TeleportState, to: TeleportState, isLazy: boolean): boolean {
  if (from === to || NEXT[from].includes(to)) return true;
  return isLazy && to === 'booting' && (from === 'syncing' || from === 'waiting');
}

/** Whether a user may cancel a teleport in this state; what failed or was cancelled stays so. */
export function mayCancel(state: TeleportState): boolean {
  return state !== 'failed' && state !== 'cancelled';
}
