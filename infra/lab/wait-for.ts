/**
 * Room: infra, lab. Waiting for a condition: the only kind of waiting there is here.
 *
 * I1: it ends when the condition holds, when the time is up (saying what was last seen), when the
 *     caller no longer cares, or when a watchdog says that it can't become true any more.
 */

import { setTimeout } from 'node:timers/promises';
import { describeError, VmdnError } from '@vmdn/core/domain/errors.ts';

export interface WaitOptions {
  readonly timeoutMs: number;
  /** Between two looks. */
  readonly intervalMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before each look; throws when waiting is pointless. */
  readonly watch?: () => void;
}

const INTERVAL_MS = 100;

/**
 * Calls `probe` until it returns something other than undefined or false, and returns that. What the
 * probe throws means "not yet". Throws `timeout` with the last reason, or what `watch` throws.
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, undefined | false>> {
  const deadlineMs = performance.now() + options.timeoutMs;
  let last: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    options.watch?.();
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadlineMs) {
      const seconds = Math.round(options.timeoutMs / 1000);
      const reason = last === undefined ? '' : `; last seen: ${describeError(last)}`;
      throw new VmdnError('timeout', `Waited ${seconds} s in vain until ${what}${reason}.`, {
        cause: last,
      });
    }
    await setTimeout(options.intervalMs ?? INTERVAL_MS, undefined, { signal: options.signal });
  }
}
