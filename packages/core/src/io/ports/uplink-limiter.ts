/**
 * Room: io, ports. What a data-plane body must pass before it leaves the process.
 *
 * I1: `passedBytes` counts exactly the bytes whose `take` was granted, since the process started.
 */

/** One body on its way out. Its takes are granted in order. */
export interface UplinkStream {
  /** Waits until `bytes` more may leave. Throws `cancelled` when `signal` aborts; then they don't count. */
  take(bytes: number, signal?: AbortSignal): Promise<void>;
}

/** Shares one uplink between all bodies. */
export interface UplinkLimiter {
  openStream(): UplinkStream;
  /** Body bytes let through so far. */
  readonly passedBytes: number;
  /** Null: no limit. */
  readonly limitBytesPerSecond: number | null;
  /** Take no more than this at once, so that the rate is smooth and the turns are fair. */
  readonly pieceBytesMax: number;
}
