/**
 * Room: text (pure). How the source of a moved VM stands, in words.
 *
 * I1: whether the source can start is said for every move, whatever became of it.
 */

import { isFinal } from '@vmdn/core/domain/teleport.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';

type Move = NonNullable<Teleport['move']>;

/** One line, or none for a copy of a VM that is where it was. */
export function moveLines(teleport: Teleport): string[] {
  const { vm, move, movedBy } = teleport;
  if (move !== null) return [`move: ${fenceWords(teleport, move)}${problemWords(move)}`];
  if (movedBy === null) return [];
  return [`a copy: ${vm} was moved away from its source by ${movedBy}; this is what it was then`];
}

function fenceWords({ vm, state, edge }: Teleport, { fence, fencedAt }: Move): string {
  switch (fence) {
    case 'idle':
      return `the source of ${vm} can start until ${edge} is ready to boot it`;
    case 'wanted':
      return `the source of ${vm} is to be kept from starting`;
    case 'held':
      return state === 'running' || !isFinal(state)
        ? `the source of ${vm} can't start since ${fencedAt}`
        : `the source of ${vm} can't start until ${edge} has said that nothing of the VM is left there; ` +
            'if that edge never comes back: vmdn origin unfence, on the origin';
    case 'unwanted':
      return `the source of ${vm} is about to be given back`;
    case 'over':
      return `the source of ${vm} can start`;
    case 'forced':
      return `the operator of its origin took the source of ${vm} back`;
  }
}

function problemWords({ problem }: Move): string {
  return problem === null ? '' : ` (${problem})`;
}
