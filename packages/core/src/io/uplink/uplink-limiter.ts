/**
 * Room: io, uplink. A token bucket for the uplink of a whole process.
 *
 * I1: over any time t no more than rate × t + BURST_SECONDS × rate + one piece leave.
 * I2: streams take turns: takes are granted first come first served, a stream has one take waiting at
 *     a time, and a piece is bounded, so each of n busy streams gets 1/n of the rate.
 * I3: exactly the granted bytes are counted; a take that was cancelled while waiting is not.
 */

import { VmdnError } from '../../domain/errors.ts';
import type { UplinkLimiter, UplinkStream } from '../ports/uplink-limiter.ts';

/** Credit that an idle uplink keeps: enough to bridge a timer's lateness, too little to be a burst. */
const BURST_SECONDS = 0.05;
/** 16 KiB: 1.6 ms at 10 MB/s, and 11 Ethernet frames. */
const PIECE_BYTES = 16 * 1024;
/** Without a limit there is nothing to smooth, and bigger pieces cost less. */
const PIECE_BYTES_UNLIMITED = 256 * 1024;

/** Time as the limiter needs it; injected so that tests need no real time. */
export interface LimiterClock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Calls `wake` once after `delayMs`. */
  later(delayMs: number, wake: () => void): void;
}

const realClock: LimiterClock = {
  now: () => performance.now(),
  later: (delayMs, wake) => {
    setTimeout(wake, delayMs);
  },
};

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
  cancelled: boolean;
}

/** A limiter for `bytesPerSecond`; null lets everything pass and only counts. Throws `invalid_input`. */
export function createUplinkLimiter(options: {
  readonly bytesPerSecond: number | null;
  readonly clock?: LimiterClock;
}): UplinkLimiter {
  const rate = options.bytesPerSecond;
  if (rate !== null && !(Number.isFinite(rate) && rate >= 1)) {
    throw new VmdnError('invalid_input', 'An uplink limit is at least 1 byte per second.');
  }
  const bucket = createBucket(rate ?? Number.POSITIVE_INFINITY, options.clock ?? realClock);
  return {
    openStream: () => createStream(bucket),
    get passedBytes() {
      return bucket.passedBytes();
    },
    limitBytesPerSecond: rate,
    pieceBytesMax: rate === null ? PIECE_BYTES_UNLIMITED : PIECE_BYTES,
  };
}

interface Bucket {
  enter(bytes: number, signal: AbortSignal | undefined): Promise<void>;
  passedBytes(): number;
}

function createBucket(rate: number, clock: LimiterClock): Bucket {
  const limited = Number.isFinite(rate);
  const creditMax = limited ? rate * BURST_SECONDS : 0;
  const queue: Waiter[] = [];
  let [credit, refilledAt, passed, sleeping] = [creditMax, clock.now(), 0, false];

  const refill = (): void => {
    const now = clock.now();
    credit = Math.min(creditMax, credit + ((now - refilledAt) / 1000) * rate);
    refilledAt = now;
  };
  const serve = (): void => {
    refill();
    // A piece may take the credit below zero: the next one then waits until the debt is paid (I1).
    while (queue.length > 0 && (queue[0]!.cancelled || credit > 0)) {
      const waiter = queue.shift()!;
      if (waiter.cancelled) continue;
      credit -= waiter.bytes;
      passed += waiter.bytes;
      waiter.grant();
    }
    if (queue.length === 0 || sleeping) return;
    sleeping = true;
    clock.later(Math.max(1, Math.ceil((-credit / rate) * 1000)), () => {
      sleeping = false;
      serve();
    });
  };
  return {
    passedBytes: () => passed,
    enter: async (bytes, signal) => {
      if (signal?.aborted) throw cancelledTake(signal);
      if (!limited) {
        passed += bytes;
        return;
      }
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          waiter.cancelled = true;
          reject(cancelledTake(signal));
          serve();
        };
        const waiter: Waiter = {
          bytes,
          cancelled: false,
          grant: () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          },
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        queue.push(waiter);
        serve();
      });
    },
  };
}

/** One stream: big takes are cut into pieces, and pieces wait one after the other (I2). */
function createStream(bucket: Bucket): UplinkStream {
  let last: Promise<void> = Promise.resolve();
  const takePieces = async (bytes: number, signal: AbortSignal | undefined): Promise<void> => {
    for (let left = bytes; left > 0; left -= PIECE_BYTES) {
      await bucket.enter(Math.min(left, PIECE_BYTES), signal);
    }
  };
  return {
    take(bytes, signal) {
      const turn = last.then(() => takePieces(bytes, signal));
      last = turn.catch(() => undefined);
      return turn;
    },
  };
}

function cancelledTake(signal: AbortSignal | undefined): VmdnError {
  return new VmdnError('cancelled', 'Stopped while waiting for the uplink.', {
    cause: signal?.reason,
  });
}
