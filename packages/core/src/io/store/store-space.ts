/**
 * Room: io, store. How much room the store has, and who was promised how much of it.
 *
 * I1: free room = the smaller of what the file system and the quota leave, less what was promised and
 *     is not yet written.
 * I2: what was promised stays promised: asking again for no more never fails.
 */

import { statfs } from 'node:fs/promises';
import { VmdnError } from '../../domain/errors.ts';
import type { ReservationRequest, StoreSpace } from '../ports/image-store.ts';
import { allocatedBytes } from './image-record.ts';

/** Left to the rest of the machine, whatever the quota: a full root file system stops more than us. */
const SPARE_BYTES = 256 * 1024 * 1024;

export interface StoreLedger {
  reserve(request: ReservationRequest): Promise<void>;
  release(key: string): void;
  space(): Promise<StoreSpace>;
}

/** The ledger of a store in `root`; `usedBytes` tells what its images take. */
export function createStoreLedger(options: {
  readonly root: string;
  readonly quotaBytes: number | null;
  readonly usedBytes: () => number;
}): StoreLedger {
  const promised = new Map<string, ReservationRequest>();
  const measure = async (except?: string): Promise<StoreSpace> => {
    const { bavail, bsize } = await statfs(options.root);
    let [reservedBytes, writtenBytes] = [0, 0];
    for (const request of promised.values()) {
      const sizes = await Promise.all(request.paths.map(allocatedBytes));
      const written = sizes.reduce((sum, bytes) => sum + bytes, 0);
      writtenBytes += written;
      if (request.key !== except) reservedBytes += Math.max(0, request.bytes - written);
    }
    const usedBytes = options.usedBytes() + writtenBytes;
    const onDisk = bavail * bsize - SPARE_BYTES;
    const inQuota = options.quotaBytes === null ? onDisk : options.quotaBytes - usedBytes;
    const freeBytes = Math.max(0, Math.min(onDisk, inQuota) - reservedBytes);
    return { freeBytes, usedBytes, reservedBytes };
  };
  // Two requests that fit alone but not together must not pass side by side.
  let turn: Promise<unknown> = Promise.resolve();
  const reserve = async (request: ReservationRequest): Promise<void> => {
    // I2: a promise holds, whoever else filled the disk meanwhile.
    const held = promised.get(request.key);
    if (held !== undefined && request.paths.length === 0 && request.bytes <= held.bytes) return;
    const { freeBytes } = await measure(request.key);
    const written = await Promise.all(request.paths.map(allocatedBytes));
    const missing = request.bytes - written.reduce((sum, bytes) => sum + bytes, 0);
    if (missing > freeBytes) {
      throw new VmdnError(
        'no_room',
        `This needs ${missing} more bytes of store and ${freeBytes} are free; ` +
          'remove images or VMs, or give the edge a larger quota.',
        { data: { neededBytes: missing, freeBytes } },
      );
    }
    promised.set(request.key, request);
  };
  return {
    reserve(request) {
      const mine = turn.then(() => reserve(request));
      turn = mine.catch(() => undefined);
      return mine;
    },
    release: (key) => void promised.delete(key),
    space: () => measure(),
  };
}
