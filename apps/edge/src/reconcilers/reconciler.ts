/**
 * Room: edge, reconcilers. A reconciler: makes what is into what should be, again and again.
 *
 * I1: a pass takes no input: it reads what should be and what is. Waking it twice is the same as once.
 * I2: passes never overlap; a wake during a pass leads to one more pass.
 * I3: a pass that fails is repeated after a pause that doubles; nothing that fails ends the loop.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { pauseMs } from '../decisions/failure.ts';
import type { EdgeEvents } from '../events.ts';
import { RETRY_MAX_MS, RETRY_MIN_MS } from '../limits.ts';

export interface Reconciler extends AsyncDisposable {
  wake(): void;
}

/** Starts a reconciler. The first pass begins at once. */
export function startReconciler(options: {
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<void>;
  readonly intervalMs: number;
  readonly events: EdgeEvents;
}): Reconciler {
  const stop = new AbortController();
  let wake = new AbortController();
  let failures = 0;
  const pass = async (): Promise<number> => {
    try {
      await options.run(stop.signal);
      failures = 0;
      return options.intervalMs;
    } catch (error) {
      if (stop.signal.aborted) return 0;
      failures += 1;
      options.events.reconcilerFailed(options.name, error);
      return pauseMs(failures, RETRY_MIN_MS, RETRY_MAX_MS);
    }
  };
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      wake = new AbortController();
      const woken = wake.signal;
      const waitMs = await pass();
      const signal = AbortSignal.any([stop.signal, woken]);
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  };
  const finished = loop();
  return {
    wake: () => wake.abort(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await finished;
    },
  };
}
