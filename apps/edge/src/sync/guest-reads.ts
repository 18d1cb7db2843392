/**
 * Room: edge, sync. The reads of one VM: how long they waited, and which blocks it read first.
 *
 * I1: time in which several reads wait counts once, over all disks of the VM.
 * I2: a recording begins before the guest does, or not at all: what an edge that was restarted under a
 *     booting guest sees is no boot. It has a bounded number of blocks, those that were read first.
 * I3: a recording is of all disks that the VM has, or of none: of those that it reads from files nothing is
 *     seen, and the trace of some disks must not take the place of one of all.
 */

import type { BootTrace } from '@vmdn/core/domain/boot-trace.ts';
import { BusyClock } from '@vmdn/core/domain/busy-clock.ts';
import { TRACE_BLOCKS_MAX, TRACE_DISKS_MAX } from '@vmdn/core/domain/limits.ts';
import type { Recipe } from '@vmdn/core/domain/recipe.ts';
import { buildRecipeIndex } from '@vmdn/core/domain/recipe-index.ts';
import { BLOCK_BYTES } from '@vmdn/core/domain/units.ts';
import type { ExportedDisk } from '@vmdn/core/io/ports/exported-disk.ts';

/** A disk that may have to wait for what is read, and lets a clock run while it does. */
export interface StallingDisk extends Omit<ExportedDisk, 'read'> {
  read(
    target: Uint8Array,
    at: number,
    lengthBytes: number,
    offsetBytes: number,
    signal: AbortSignal,
    stalls: BusyClock | undefined,
  ): Promise<void>;
}

export class GuestReads {
  /** Runs while at least one read of the VM waits for what is not there. */
  readonly stalls = new BusyClock();
  /** Blocks in the order of their first reads, each as block · disks + disk. */
  #seen: Set<number> | undefined;

  /** Begins a recording, anew. */
  record(): void {
    this.#seen = new Set();
  }

  /** Ends it: what was read since it began. Null when none had begun (I2), or a disk is not known (I3). */
  recorded(recipes: readonly (Recipe | undefined)[]): BootTrace | null {
    const seen = this.#seen;
    this.#seen = undefined;
    if (seen === undefined || recipes.includes(undefined)) return null;
    return traceOf([...seen], recipes as readonly Recipe[]);
  }

  /** The disk with this number as the VM reads it. */
  watch(disk: StallingDisk, number: number): ExportedDisk {
    const saw = (offsetBytes: number, lengthBytes: number): void =>
      this.#saw(number, offsetBytes, lengthBytes);
    const { stalls } = this;
    return {
      sizeBytes: disk.sizeBytes,
      readNow(target, at, lengthBytes, offsetBytes) {
        if (!disk.readNow(target, at, lengthBytes, offsetBytes)) return false;
        saw(offsetBytes, lengthBytes);
        return true;
      },
      read(target, at, lengthBytes, offsetBytes, signal) {
        saw(offsetBytes, lengthBytes);
        return disk.read(target, at, lengthBytes, offsetBytes, signal, stalls);
      },
      extent: (offsetBytes, endBytes) => disk.extent(offsetBytes, endBytes),
      prefetch: (offsetBytes, lengthBytes) => disk.prefetch?.(offsetBytes, lengthBytes),
    };
  }

  #saw(disk: number, offsetBytes: number, lengthBytes: number): void {
    const seen = this.#seen;
    if (seen === undefined) return;
    const last = Math.floor((offsetBytes + lengthBytes - 1) / BLOCK_BYTES);
    for (let block = Math.floor(offsetBytes / BLOCK_BYTES); block <= last; block += 1) {
      if (seen.size >= TRACE_BLOCKS_MAX) return;
      seen.add(block * TRACE_DISKS_MAX + disk);
    }
  }
}

/** What is not zero of these blocks, with its keys; null when nothing is. */
function traceOf(seen: readonly number[], recipes: readonly Recipe[]): BootTrace | null {
  const indexes = recipes.map(buildRecipeIndex);
  const isThere = (entry: number): boolean => {
    const block = Math.floor(entry / TRACE_DISKS_MAX);
    return indexes[entry % TRACE_DISKS_MAX]!.keyIndexOf(block) >= 0;
  };
  const entries = seen.filter(isThere);
  if (entries.length === 0) return null;
  const keys = new Uint32Array(2 * entries.length);
  for (const [k, entry] of entries.entries()) {
    const disk = entry % TRACE_DISKS_MAX;
    const at = indexes[disk]!.keyIndexOf(Math.floor(entry / TRACE_DISKS_MAX));
    keys.set(recipes[disk]!.keys.subarray(2 * at, 2 * at + 2), 2 * k);
  }
  return {
    disks: Uint8Array.from(entries, (entry) => entry % TRACE_DISKS_MAX),
    blocks: Uint32Array.from(entries, (entry) => Math.floor(entry / TRACE_DISKS_MAX)),
    keys,
  };
}
