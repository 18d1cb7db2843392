/**
 * Room: edge, services. What this edge should have, as the coordinator last said.
 *
 * I1: while the coordinator is away the last answer stands: nothing that runs is stopped for want of one.
 * I2: there is no answer before the first one: nobody takes "nothing known" for "nothing wanted".
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { type DesiredState, desiredState } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import { pauseMs } from '../decisions/failure.ts';
import { errorFacts } from '../events.ts';
import {
  AWAY_PAUSE_MAX_MS,
  AWAY_PAUSE_MIN_MS,
  DESIRED_TIMEOUT_MS,
  DESIRED_WAIT_SECONDS,
} from '../limits.ts';

export interface DesiredStates extends AsyncDisposable {
  /** Null until the coordinator answered for the first time. */
  latest(): DesiredState | null;
  /** Called after each answer that differs from the one before. */
  onChange(listener: () => void): void;
  /** Asks anew, for fresh grants or because something was found to be out of date. */
  refresh(): void;
}

/** Follows the desired state until it is disposed. */
export function followDesiredState(options: {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly logger: Logger;
}): DesiredStates {
  const stop = new AbortController();
  const listeners = new Set<() => void>();
  let latest: DesiredState | null = null;
  let asksAnew = false;
  let round = new AbortController();
  let failures = 0;

  const ask = async (): Promise<void> => {
    const revision = asksAnew ? undefined : latest?.revision;
    asksAnew = false;
    const reply = await options.client.call(desiredState, {
      query: { revision, waitSeconds: revision === undefined ? 0 : DESIRED_WAIT_SECONDS },
      timeoutMs: DESIRED_TIMEOUT_MS,
      signal: AbortSignal.any([stop.signal, round.signal]),
    });
    const isSame = revision !== undefined && reply.revision === revision;
    latest = reply;
    if (isSame) return;
    for (const listener of listeners) listener();
  };
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      round = new AbortController();
      try {
        await ask();
        failures = 0;
      } catch (error) {
        if (stop.signal.aborted || asksAnew) continue;
        failures += 1;
        if (failures === 1) {
          options.logger.warn(
            { event: 'desired_away', ...errorFacts(error) },
            'going on as before',
          );
        }
        const jitter = 0.5 + Math.random() / 2;
        const waitMs = jitter * pauseMs(failures, AWAY_PAUSE_MIN_MS, AWAY_PAUSE_MAX_MS);
        await delay(waitMs, undefined, { signal: stop.signal }).catch(() => undefined);
      }
    }
  };
  const finished = loop();
  return {
    latest: () => latest,
    onChange: (listener) => void listeners.add(listener),
    refresh() {
      asksAnew = true;
      round.abort();
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await finished;
    },
  };
}
