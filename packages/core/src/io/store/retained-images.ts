/**
 * Room: io, store. Images that disks outside the store stand on.
 */

import type { Digest } from '../../domain/digest.ts';

export interface RetainedImages {
  retain(digest: Digest): Disposable;
  has(digest: Digest): boolean;
}

export function createRetainedImages(): RetainedImages {
  const retained = new Set<{ readonly digest: Digest }>();
  return {
    retain(digest) {
      const one = { digest };
      retained.add(one);
      return { [Symbol.dispose]: () => void retained.delete(one) };
    },
    has: (digest) => [...retained].some((one) => one.digest === digest),
  };
}
