/**
 * Room: edge, services. Memory and processors that this edge may still promise to guests.
 *
 * I1: a teleport holds its share from the moment the edge takes it on, not only once it runs: two that
 *     do not fit together are told so before a byte moves.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';

export interface GuestShare {
  readonly memoryMiB: number;
  readonly vcpus: number;
}

export interface Capacity {
  /** Throws `no_room`. Taking the same share again changes nothing. */
  take(teleport: Id, share: GuestShare): void;
  release(teleport: Id): void;
  free(): GuestShare;
}

export function createCapacity(total: GuestShare): Capacity {
  const taken = new Map<Id, GuestShare>();
  const freeBut = (except: Id | null): GuestShare => {
    let { memoryMiB, vcpus } = total;
    for (const [teleport, share] of taken) {
      if (teleport === except) continue;
      memoryMiB -= share.memoryMiB;
      vcpus -= share.vcpus;
    }
    return { memoryMiB: Math.max(0, memoryMiB), vcpus: Math.max(0, vcpus) };
  };
  return {
    take(teleport, { memoryMiB, vcpus }) {
      const free = freeBut(teleport);
      if (memoryMiB > free.memoryMiB || vcpus > free.vcpus) {
        throw new VmdnError(
          'no_room',
          `The VM needs ${memoryMiB} MiB of memory and ${vcpus} processors; this edge has ` +
            `${free.memoryMiB} MiB and ${free.vcpus} left for guests.`,
          { data: { needed: { memoryMiB, vcpus }, free } },
        );
      }
      taken.set(teleport, { memoryMiB, vcpus });
    },
    release: (teleport) => void taken.delete(teleport),
    free: () => freeBut(null),
  };
}
