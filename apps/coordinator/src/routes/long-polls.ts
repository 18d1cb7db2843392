/**
 * Room: coordinator, routes. Polls that wait for something to change: how long, and how many at once.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { LONG_POLLS_MAX } from '../limits.ts';

/** How long a poll waits that names a revision but no time: below a client's usual 30 s. */
const WAIT_SECONDS_DEFAULT = 20;

interface Poll {
  readonly revision: string | undefined;
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
}

export interface LongPolls {
  /** Runs one that knows `revision`, or nothing yet: then it does not wait. Throws `busy`. */
  wait<T>(
    query: { readonly revision?: string | undefined; readonly waitSeconds?: number | undefined },
    signal: AbortSignal,
    answer: (poll: Poll) => Promise<T>,
  ): Promise<T>;
}

/** Counts polls of one kind. */
export function createLongPolls(): LongPolls {
  let open = 0;
  return {
    async wait({ revision, waitSeconds = WAIT_SECONDS_DEFAULT }, signal, answer) {
      if (open >= LONG_POLLS_MAX) throw new VmdnError('busy', 'Too many polls are waiting here.');
      open += 1;
      try {
        return await answer({
          revision,
          waitSeconds: revision === undefined ? 0 : waitSeconds,
          signal,
        });
      } finally {
        open -= 1;
      }
    },
  };
}
