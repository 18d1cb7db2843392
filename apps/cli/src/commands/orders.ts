/**
 * Room: routes. Waiting for orders that edges work off.
 */

import type { CommandContext } from './command.ts';

/** Orders take seconds to minutes; half a second is soon enough to hear of the end. */
export const POLL_MS = 500;

/** Says what changed since the last look. */
export function createChangeTeller(
  context: CommandContext,
): (value: unknown, words: string) => void {
  let said = '';
  return (value, words) => {
    const now = JSON.stringify(value);
    if (now === said) return;
    said = now;
    context.output.event(value);
    context.output.line(words);
  };
}
