/**
 * Room: domain. Captures: a delivered VM with all that it has written, as a VM of its own.
 */

import { type Id, type Name, parseName } from './names.ts';

export const CAPTURE_STATES = ['pending', 'running', 'done', 'failed', 'cancelled'] as const;
export type CaptureState = (typeof CAPTURE_STATES)[number];

/** True when nothing more will happen to the capture. */
export function isCaptureOver(state: CaptureState): boolean {
  return state !== 'pending' && state !== 'running';
}

/** Of a teleport's id: enough to tell the VMs of one network apart, and short enough to type. */
const ID_CHARACTERS = 8;
/** A name has 63 characters. */
const VM_CHARACTERS_MAX = 63 - 1 - ID_CHARACTERS;

/** What a captured VM is called unless somebody says: the same for each capture of one delivered VM. */
export function captureName(vm: Name, teleport: Id): Name {
  const name = `${vm.slice(0, VM_CHARACTERS_MAX)}-${teleport.slice(0, ID_CHARACTERS)}`;
  return parseName(name, 'name');
}
