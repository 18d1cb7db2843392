/**
 * Room: edge, decisions (pure). What a failure means for the teleport or seed that met it.
 *
 * I1: a fault that may pass (a source away, a full disk, a withdrawn version that the coordinator will
 *     replace) never ends a teleport; what nobody can mend by waiting does, with its words.
 */

import { type ErrorCode, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';

/** What ends a teleport whatever its code is: nobody can mend it by waiting. */
export class HopelessError extends VmdnError {}

export type FailureMeaning =
  /** Report `waiting` with the words, try again after a pause. */
  | 'wait'
  /** Report `failed` with the words. */
  | 'fail'
  /** The lease is somebody else's now: stop, and look at what the coordinator wants. */
  | 'lost'
  /** Our own doing. */
  | 'stop';

const MEANING: Readonly<Record<ErrorCode, FailureMeaning>> = {
  invalid_input: 'fail',
  // A grant that ran out is renewed; a source that refuses may be told to let us in.
  unauthenticated: 'wait',
  forbidden: 'wait',
  // The holder dropped it; the coordinator's next list of holders knows.
  not_found: 'wait',
  conflict: 'wait',
  too_large: 'fail',
  unsupported_format: 'fail',
  hostile_format: 'fail',
  incompatible_protocol: 'fail',
  no_room: 'fail',
  source_running: 'wait',
  source_changed: 'wait',
  withdrawn: 'wait',
  busy: 'wait',
  quota_exceeded: 'wait',
  unavailable: 'wait',
  timeout: 'wait',
  cancelled: 'stop',
  stale_epoch: 'lost',
  corrupt: 'fail',
  disk_full: 'wait',
  tool_missing: 'fail',
  tool_failed: 'fail',
  guest_not_ready: 'fail',
  internal: 'fail',
};

/** What a failure means; anything that is not ours is a defect. */
export function meaningOf(error: unknown): FailureMeaning {
  if (error instanceof HopelessError) return 'fail';
  return isVmdnError(error) ? MEANING[error.code] : 'fail';
}

/** The pause before try number `attempt` (from 1): doubling from `minMs` to `maxMs`. */
export function pauseMs(attempt: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 20));
}
