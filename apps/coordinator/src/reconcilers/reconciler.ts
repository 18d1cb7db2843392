/**
 * Room: coordinator, reconcilers. Runs passes that bring rows in line with the world: woken by
 * notifications, and by a timer to make sure.
 *
 * I1: a pass is idempotent and takes no arguments; it reads what is desired and what is from the
 *     tables each time, and any number of coordinators may run it at once.
 * I2: a failed pass is logged and tried again at the next turn; it stops nothing else.
 */

import { describeError } from '@vmdn/core/domain/errors.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type { Wakes } from '../store/store.ts';

export interface Reconciler {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

/** Starts to run `reconcilers` one after the other, at each wake of `jobs` and every `everyMs`. */
export function startReconcilers(options: {
  readonly reconcilers: readonly Reconciler[];
  readonly wakes: Wakes;
  readonly everyMs: number;
  readonly logger: Logger;
}): AsyncDisposable {
  const stop = new AbortController();
  const loop = async (): Promise<void> => {
    using watch = options.wakes.watch(['jobs']);
    while (!stop.signal.aborted) {
      for (const reconciler of options.reconcilers) {
        if (stop.signal.aborted) return;
        await reconciler.run(stop.signal).catch((error: unknown) => {
          options.logger.error(
            { event: 'reconciler_failed', reconciler: reconciler.name, err: error },
            describeError(error),
          );
        });
      }
      await watch.next(options.everyMs, stop.signal);
    }
  };
  const finished = loop();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await finished;
    },
  };
}
