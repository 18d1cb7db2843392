/**
 * Room: edge, services. A disk as a guest reads it from the first moment on: by whoever has it at present,
 * or, while nobody has, not yet.
 *
 * I1: a read never fails for want of a source: it waits, and is asked again of whoever comes next.
 * I2: what a reader answers is answered; a reader whose time is over is not asked again.
 */

import type { BusyClock } from '@vmdn/core/domain/busy-clock.ts';
import type { DiskExtent } from '@vmdn/core/io/ports/exported-disk.ts';
import type { StallingDisk } from '../sync/guest-reads.ts';

export class WaitingDisk implements StallingDisk {
  readonly sizeBytes: number;
  #reader: StallingDisk | undefined;
  #next = Promise.withResolvers<void>();

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }

  /** From now on `reader` answers, in place of the one before. Returns what ends its time. */
  attach(reader: StallingDisk): () => void {
    this.#reader = reader;
    this.#next.resolve();
    this.#next = Promise.withResolvers<void>();
    return () => {
      if (this.#reader === reader) this.#reader = undefined;
    };
  }

  readNow(target: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): boolean {
    return this.#reader?.readNow(target, at, lengthBytes, offsetBytes) ?? false;
  }

  async read(
    target: Uint8Array,
    at: number,
    lengthBytes: number,
    offsetBytes: number,
    signal: AbortSignal,
    stalls?: BusyClock,
  ): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const reader = this.#reader;
      const next = this.#next.promise;
      try {
        if (reader !== undefined) {
          return await reader.read(target, at, lengthBytes, offsetBytes, signal, stalls);
        }
      } catch (error) {
        // What it could not do because its time was over is the next one's (I1).
        if (signal.aborted || this.#reader === reader) throw error;
        continue;
      }
      stalls?.enter(performance.now());
      try {
        await orAborted(next, signal);
      } finally {
        stalls?.leave(performance.now());
      }
    }
  }

  extent(offsetBytes: number, endBytes: number): DiskExtent {
    return this.#reader?.extent(offsetBytes, endBytes) ?? { endBytes, isZero: false };
  }

  prefetch(offsetBytes: number, lengthBytes: number): void {
    this.#reader?.prefetch?.(offsetBytes, lengthBytes);
  }
}

async function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
