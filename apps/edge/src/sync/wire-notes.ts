/**
 * Room: edge, sync. Keeps the count of wire bytes in step with the wire: a note in the staging area after
 * every WIRE_NOTE_BYTES, so that a kill between two commits loses hardly any of it.
 *
 * I1: after a kill the count is never longer than what was received.
 * I2: it is shorter by less than WIRE_UNNOTED_BYTES_MAX and what each request in flight handed over at once:
 *     whoever receives more waits until a note is written.
 * I3: one note at a time, and no fdatasync: a commit makes durable what a power cut must leave.
 */

import type { StagingArea } from '@vmdn/core/io/ports/disk-assembly.ts';
import { WIRE_NOTE_BYTES, WIRE_UNNOTED_BYTES_MAX } from './limits.ts';

export interface WireNotesOptions {
  readonly staging: Pick<StagingArea, 'note'>;
  /** One number for each of TIERS. */
  readonly wireBytes: () => number[];
  readonly onError: (error: unknown) => void;
}

export class WireNotes {
  readonly #options: WireNotesOptions;
  /** Bytes that were counted since the last note was begun, and while it is being written. */
  #unnotedBytes = 0;
  #inNoteBytes = 0;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: WireNotesOptions) {
    this.#options = options;
  }

  /** Bytes were added to the count. */
  counted(bytes: number): void {
    this.#unnotedBytes += bytes;
    this.#startIfDue();
  }

  /** What to wait for before more is received; undefined when there is no need to. */
  room(): Promise<void> | undefined {
    const bytes = this.#unnotedBytes + this.#inNoteBytes;
    return bytes < WIRE_UNNOTED_BYTES_MAX ? undefined : this.#running;
  }

  /** No note begins any more; the last one is written. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  #startIfDue(): void {
    const isDue = this.#unnotedBytes >= WIRE_NOTE_BYTES;
    if (!isDue || this.#running !== undefined || this.#isStopped) return;
    this.#inNoteBytes = this.#unnotedBytes;
    this.#unnotedBytes = 0;
    const { staging, wireBytes, onError } = this.#options;
    this.#running = staging
      .note(wireBytes())
      .catch(onError)
      .finally(() => {
        this.#inNoteBytes = 0;
        this.#running = undefined;
        this.#startIfDue();
      });
  }
}
