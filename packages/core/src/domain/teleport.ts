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

/** True when nothing more will happen to it, and its VM, if it runs, needs nobody any more. */
export function isSettled(teleport: {
  readonly state: TeleportState;
  readonly independentAt: string | null;
}): boolean {
  return (
    isFinal(teleport.state) && (teleport.state !== 'running' || teleport.independentAt !== null)
  );
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
