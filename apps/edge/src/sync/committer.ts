/**
 * Room: edge, sync. Makes verified segments durable in batches: after COMMIT_BYTES or COMMIT_MS, one
 * commit at a time, while the work goes on.
 *
 * I1: a row is committed once its bytes are written; the staging area keeps data before bit.
 * I2: after `flush` everything that was added before is durable.
 */

import type { StagingArea } from '@vmdn/core/io/ports/disk-assembly.ts';
import { COMMIT_BYTES, COMMIT_MS } from './limits.ts';

export interface CommitterOptions {
  readonly staging: StagingArea;
  readonly records: Uint32Array;
  readonly wireBytes: () => number[];
  readonly onError: (error: unknown) => void;
}

export class Committer {
  readonly #options: CommitterOptions;
  #rows: number[] = [];
  #bytes = 0;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isFlushing = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** A row's record changed: verified, or (with 0 bytes) no longer claimed. */
  add(row: number, bytes: number): void {
    this.#rows.push(row);
    this.#bytes += bytes;
    if (this.#bytes >= COMMIT_BYTES) this.#start();
    else this.#timer ??= setTimeout(() => this.#start(), COMMIT_MS);
  }

  /** Commits all there is. Throws what the staging area throws. */
  async flush(): Promise<void> {
    this.#isFlushing = true;
    await this.#running;
    await this.#commit();
  }

  /** No commit begins by itself any more. */
  async stop(): Promise<void> {
    this.#isFlushing = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #start(): void {
    if (this.#running !== undefined || this.#isFlushing) return;
    this.#running = this.#commit()
      .catch(this.#options.onError)
      .finally(() => {
        this.#running = undefined;
        if (this.#bytes >= COMMIT_BYTES) this.#start();
        else if (this.#rows.length > 0 && !this.#isFlushing) {
          this.#timer ??= setTimeout(() => this.#start(), COMMIT_MS);
        }
      });
  }

  async #commit(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const rows = this.#rows;
    this.#rows = [];
    this.#bytes = 0;
    await this.#options.staging.commit(rows, this.#options.records, this.#options.wireBytes());
  }
}
