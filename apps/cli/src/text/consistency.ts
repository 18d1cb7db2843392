/**
 * Room: cli, text. What a version's disks hold of a VM, in words.
 */

import type { Consistency } from '@vmdn/core/domain/description.ts';

/** Nothing for a VM that was off: its disks are all of it. */
export function consistencyLines(consistency: Consistency): string[] {
  if (consistency === 'off') return [];
  if (consistency === 'agent') {
    return ['it ran when it was described: its file systems were frozen for that by its agent'];
  }
  return [
    'it ran when it was described: its disks are as after a power cut, and it starts as after one',
  ];
}
