/**
 * Room: edge, services. What background work may take of the network and of the processors.
 *
 * I1: over any time, background reading takes no more bytes than its rate and a moment's credit allow.
 * I2: who worked for a while rests in proportion: of so many threads, each is busy for the given share of its
 *     time at most, measured over a piece of work and the rest after it.
 */

import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { UplinkLimiter } from '@vmdn/core/io/ports/uplink-limiter.ts';

export interface BackgroundBudget {
  /** Waits until so many bytes may be read, or have been. Throws `cancelled`. */
  spend(bytes: number, signal: AbortSignal): Promise<void>;
  /** Rests after so many seconds of processor time. Throws when `signal` aborts. */
  rest(busySeconds: number, signal: AbortSignal): Promise<void>;
  /** Threads that may work side by side. */
  readonly threads: number;
  /** Whether background work is slower than it could be: its rates say nothing of anybody else then. */
  readonly isHeldBack: boolean;
}

/** `cpuShare`: of all processors, above 0 and at most 1. */
export function createBackgroundBudget(options: {
  readonly limiter: Pick<UplinkLimiter, 'openStream' | 'limitBytesPerSecond'>;
  readonly cpuShare: number;
  readonly processors?: number;
}): BackgroundBudget {
  const { limiter, cpuShare, processors = availableParallelism() } = options;
  const allowed = processors * cpuShare;
  const threads = Math.max(1, Math.floor(allowed));
  /** Seconds of rest for one second of work: none where the threads alone keep to the share. */
  const restPerSecond = Math.max(0, threads / allowed - 1);
  return {
    threads,
    isHeldBack: limiter.limitBytesPerSecond !== null || restPerSecond > 0,
    async spend(bytes, signal) {
      if (bytes > 0) await limiter.openStream().take(bytes, signal);
    },
    async rest(busySeconds, signal) {
      const restMs = 1000 * busySeconds * restPerSecond;
      if (restMs >= 1) await delay(restMs, undefined, { signal });
    },
  };
}
