/**
 * Room: edge, services. Who uses which package images: what the room of packages is kept for.
 *
 * I1: an image is in use while the newest plan of a wanted disk takes blocks from it, while it was brought
 *     for a disk that was not planned since, and while a plan that is being made or a sync holds it.
 * I2: only what is wanted counts: plans of disks that nobody offers or delivers any more keep nothing.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';

export interface ImageUses {
  /** The newest plan of a disk takes blocks from these images, and from no others. */
  planned(disk: Digest, images: ReadonlySet<Digest>): void;
  /** An image that comes for a disk: as if its plan used it, until there is another plan. */
  brought(disk: Digest, image: Digest): void;
  /** These images are in use until it is disposed. */
  hold(images: Iterable<Digest>): Disposable;
  /** What the plan of a disk uses now is in use until it is disposed, whatever is planned meanwhile. */
  holdPlan(disk: Digest): Disposable;
  /** A disk that is delivered: its plan counts until it is disposed, whatever `keepOnly` says. */
  deliver(disk: Digest): Disposable;
  /** Plans of other disks count no longer. */
  keepOnly(disks: ReadonlySet<Digest>): void;
  /** Changes whenever an image may have gone out of use. */
  readonly releases: number;
  isInUse(image: Digest): boolean;
  /** The greater, the later it was used; 0 for never since the start. */
  lastUse(image: Digest): number;
  /** The image is gone. */
  forget(image: Digest): void;
}

export function createImageUses(): ImageUses {
  const plans = new Map<Digest, Set<Digest>>();
  const holds = new Set<ReadonlySet<Digest>>();
  const lastUses = new Map<Digest, number>();
  const delivered = new Set<Digest>();
  let [uses, releases] = [0, 0];
  const note = (images: Iterable<Digest>): void => {
    uses += 1;
    for (const image of images) lastUses.set(image, uses);
  };
  const hold = (images: Iterable<Digest>): Disposable => {
    const held = new Set(images);
    holds.add(held);
    return { [Symbol.dispose]: () => void holds.delete(held) };
  };
  return {
    get releases() {
      return releases;
    },
    planned(disk, images) {
      const before = plans.get(disk) ?? new Set<Digest>();
      if (!before.isSubsetOf(images)) releases += 1;
      plans.set(disk, new Set(images));
      note(images);
    },
    brought(disk, image) {
      const known = plans.get(disk);
      if (known === undefined) plans.set(disk, new Set([image]));
      else known.add(image);
      note([image]);
    },
    hold,
    holdPlan: (disk) => hold(plans.get(disk) ?? []),
    deliver(disk) {
      delivered.add(disk);
      return { [Symbol.dispose]: () => void delivered.delete(disk) };
    },
    keepOnly(disks) {
      for (const disk of plans.keys()) {
        if (disks.has(disk) || delivered.has(disk)) continue;
        plans.delete(disk);
        releases += 1;
      }
    },
    isInUse: (image) => [...plans.values(), ...holds].some((images) => images.has(image)),
    lastUse: (image) => lastUses.get(image) ?? 0,
    forget: (image) => void lastUses.delete(image),
  };
}
