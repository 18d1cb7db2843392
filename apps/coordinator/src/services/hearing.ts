/**
 * Room: coordinator, services. What a node's silence says: nothing about the time in which nobody could be
 * heard, because no coordinator listened or the database was away.
 *
 * I1: whoever loses a teleport by silence is away for sure: after such a time every lease lasts until a
 *     living edge, whose pauses between attempts have grown meanwhile, must have been heard again.
 * I2: so long a node is counted on that was heard of until nobody could be heard; one that was silent before
 *     is not. What users see of a node's health is not touched.
 * I3: where that is not known (a look failed), nobody is judged: looking throws.
 */

import { NODE_RETRY_SECONDS_MAX } from '../limits.ts';
import type { Timing } from './context.ts';

export interface Hearing {
  /** To be called at the start, and before silence is judged. Throws what the database throws. */
  look(): Promise<void>;
  /** The silence after which a node is not counted on. */
  patienceSeconds(): number;
}

/** What it needs of the store; times are the database's. */
export interface HearingStore {
  /** When it is there, and when any node was heard of last; null: none ever was. */
  clock(): Promise<{ readonly nowSeconds: number; readonly heardSeconds: number | null }>;
  /** Leases that end earlier than so long from now end then. */
  extendLeases(seconds: number): Promise<void>;
}

type Look = Awaited<ReturnType<HearingStore['clock']>>;

/** A time in which nobody could be heard. */
interface Deafness {
  readonly seconds: number;
  readonly overSinceMs: number;
}

/** How long nobody could be heard until `now`; null: all could. `last` is the last look that was good. */
function deafSeconds(
  now: Look,
  last: Look | null,
  isLastGood: boolean,
  silenceSeconds: number,
): number | null {
  if (last === null) return now.nowSeconds - (now.heardSeconds ?? now.nowSeconds);
  const seconds = now.nowSeconds - last.nowSeconds;
  // A pass that took long, or another coordinator that listens: somebody was heard of all the same.
  const unheardSeconds = Math.min(seconds, now.nowSeconds - (now.heardSeconds ?? 0));
  return isLastGood && unheardSeconds <= silenceSeconds ? null : seconds;
}

/** A hearing over the store; `monotonicMs` is a clock that only goes forward. */
export function createHearing(
  store: HearingStore,
  timing: Pick<Timing, 'heartbeatSeconds' | 'silenceSeconds' | 'leaseSeconds'>,
  monotonicMs: () => number = () => performance.now(),
): Hearing {
  const { heartbeatSeconds, silenceSeconds, leaseSeconds } = timing;
  const graceSeconds = NODE_RETRY_SECONDS_MAX + silenceSeconds;
  let last: Look | null = null;
  let isLastGood = false;
  let deafness: Deafness | null = null;
  const excusedSeconds = (): number => {
    if (deafness === null) return 0;
    const sinceSeconds = (monotonicMs() - deafness.overSinceMs) / 1000;
    return sinceSeconds > graceSeconds ? 0 : deafness.seconds + sinceSeconds;
  };
  return {
    async look() {
      const wasGood = isLastGood;
      isLastGood = false;
      const now = await store.clock();
      const seconds = deafSeconds(now, last, wasGood, silenceSeconds);
      if (seconds !== null) {
        await store.extendLeases(Math.max(leaseSeconds, graceSeconds));
        // Within a beat some node was heard of: another coordinator listens, or hardly anything was missed.
        if (seconds > heartbeatSeconds) {
          deafness = {
            seconds: Math.max(seconds, excusedSeconds()),
            overSinceMs: monotonicMs(),
          };
        }
      }
      last = now;
      isLastGood = true;
    },
    patienceSeconds: () => silenceSeconds + excusedSeconds(),
  };
}
