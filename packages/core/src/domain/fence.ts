/**
 * Room: domain. The fence of a move: what keeps a VM's source from starting before the VM starts elsewhere.
 * Both ends of it as total functions: how a move's fence stands in the coordinator's row, and what its origin
 * does about a wish.
 *
 * I1: a moved VM may boot only while its origin holds the fence for the very epoch that asks.
 * I2: once an origin was asked, the fence goes only when there is no VM elsewhere (`gone`): its edge said
 *     that nothing of it is left, or none was ever allowed to boot it, nor will be. It is over when the
 *     origin said so. Only an operator's word at the origin is stronger (`forced`).
 * I3: an origin keeps to the highest epoch of a move that it holds, to one move of a VM, and to its
 *     operator's word.
 */

import type { Id } from './names.ts';

export const FENCE_STATES = [
  /** Nobody has asked for it yet: the source may start. */
  'idle',
  /** The origin was asked, and has not said that it holds it for the move's epoch. */
  'wanted',
  'held',
  /** The move is over and its VM gone: the origin should let the source go. */
  'unwanted',
  'over',
  /** The origin's operator took the source back, whatever became of the VM. */
  'forced',
] as const;
export type FenceState = (typeof FENCE_STATES)[number];

/** What happens to a move's fence; `ask` and `gone` by its teleport, the rest by its origin. */
export type FenceEvent = 'ask' | 'gone' | 'fenced' | 'refused' | 'released' | 'forced';

const AFTER: Readonly<Record<FenceState, Partial<Readonly<Record<FenceEvent, FenceState>>>>> = {
  idle: { ask: 'wanted', gone: 'over', forced: 'forced' },
  wanted: { fenced: 'held', gone: 'unwanted', forced: 'forced' },
  held: { refused: 'wanted', released: 'wanted', gone: 'unwanted', forced: 'forced' },
  unwanted: { released: 'over', forced: 'forced' },
  over: {},
  forced: {},
};

/** How a fence stands after something happened. */
export function fenceAfter(state: FenceState, event: FenceEvent): FenceState {
  return AFTER[state][event] ?? state;
}

/** Whether a moved VM may boot under `epoch` (I1). */
export function mayBoot(
  fence: { readonly state: FenceState; readonly epoch: number | null },
  epoch: number,
): boolean {
  return fence.state === 'held' && fence.epoch === epoch;
}

/** What the origin should do about a fence; null: nothing. */
export function wantedOfOrigin(state: FenceState): 'fenced' | 'released' | null {
  if (state === 'wanted' || state === 'held') return 'fenced';
  return state === 'unwanted' ? 'released' : null;
}

/** What the coordinator wants of an origin for one move. */
export interface FenceWish {
  readonly teleport: Id;
  readonly epoch: number;
  readonly want: 'fenced' | 'released';
}

/** What an origin holds of a VM: a fence, or its operator's word that there is to be none. */
export interface HeldFence {
  readonly teleport: Id;
  readonly epoch: number;
  readonly state: 'fenced' | 'forced';
}

export type FenceDecision =
  /** Keep the source from starting. */
  | 'fence'
  /** It can't start; from now on that is for the wish's epoch. */
  | 'raise'
  /** It can't start, and that is what is wanted. */
  | 'keep'
  /** Let it start again. */
  | 'release'
  /** Nothing of this move is here. */
  | 'released'
  | { readonly refuse: 'stale_epoch' | 'conflict' | 'forced' };

/** What an origin does about a wish for a VM of which it holds `held` (I3). */
export function decideFence(wish: FenceWish, held: HeldFence | null): FenceDecision {
  const isOther = held !== null && held.teleport !== wish.teleport;
  if (wish.want === 'released') {
    if (held === null || isOther || held.state === 'forced') return 'released';
    return wish.epoch < held.epoch ? { refuse: 'stale_epoch' } : 'release';
  }
  if (held === null || (isOther && held.state === 'forced')) return 'fence';
  if (isOther) return { refuse: 'conflict' };
  if (held.state === 'forced') return { refuse: 'forced' };
  if (wish.epoch < held.epoch) return { refuse: 'stale_epoch' };
  return wish.epoch > held.epoch ? 'raise' : 'keep';
}
