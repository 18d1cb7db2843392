/**
 * Room: edge, services. Room in the store for a delivery.
 *
 * I1: only a delivery that finds no room at its beginning is refused; one that was begun waits when its room
 *     was taken away meanwhile.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { ImageStore, ReservationRequest } from '@vmdn/core/io/ports/image-store.ts';

/**
 * Takes the room that is still missing for these disks. Throws `no_room`, or `disk_full` when one of them
 * was begun.
 */
export async function reserveRoom(
  store: Pick<ImageStore, 'reserve' | 'stagings'>,
  digests: readonly Digest[],
  request: ReservationRequest,
): Promise<void> {
  try {
    await store.reserve(request);
  } catch (error) {
    const stagings = new Set<string>(await store.stagings());
    const isBegun = digests.some((digest) => stagings.has(digest));
    if (!isVmdnError(error, 'no_room') || !isBegun) throw error;
    const words = 'The disk is full; the delivery goes on by itself when there is room again.';
    throw new VmdnError('disk_full', words, { data: error.data, cause: error });
  }
}
