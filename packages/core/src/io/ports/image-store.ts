/**
 * Room: io, ports. The images that an edge holds, and the room that it has for more.
 *
 * I1: an image is complete, verified and immutable from the moment it is listed; it is listed after
 *     its directory was renamed into place, and its bytes are on the disk before that.
 * I2: an image whose file changed behind the store's back is never handed out: it is read through
 *     again first, and moved to quarantine when it is not what its digest says.
 * I3: an image that shares storage stands on one that does not, which the store also holds. When a base
 *     must go, the images on it go too.
 * I4: room is promised before work begins: `reserve` counts what is still to be written, so that two
 *     deliveries that do not fit together are told so before a byte moves.
 */

import type { Digest } from '../../domain/digest.ts';
import type { ImageLayers } from '../../domain/layers.ts';
import type { Name } from '../../domain/names.ts';
import type { DiskLibrary } from './disk-library.ts';

export type ImageKind = 'base' | 'snapshot' | 'package';

/** A complete image. Sizes in bytes: virtual, of blocks that are not zero, and on the disk. */
export interface StoredImage {
  readonly digest: Digest;
  readonly keysRoot: Digest;
  /** Name of a base image; null for snapshots. */
  readonly name: Name | null;
  readonly kind: ImageKind;
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
  readonly allocatedBytes: number;
  /** The image's own file. */
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  /** The image whose storage it shares; null: its own file holds all of it. */
  readonly base: Digest | null;
  /** Where its guest-visible bytes lie. */
  readonly layers: ImageLayers;
  readonly recipePath: string;
}

/** What makes a staging directory an image: its disk and `recipe` lie in it, verified. */
export interface Adoption {
  readonly stagingDir: string;
  readonly digest: Digest;
  readonly keysRoot: Digest;
  readonly name: Name | null;
  readonly kind: ImageKind;
}

/** Room, in bytes. */
export interface StoreSpace {
  /** What may still be promised. */
  readonly freeBytes: number;
  readonly usedBytes: number;
  /** Promised and not yet written. */
  readonly reservedBytes: number;
}

/** A promise of room. What appears in `paths` counts as written. */
export interface ReservationRequest {
  /** One reservation for each key; asking again replaces it. */
  readonly key: string;
  readonly bytes: number;
  readonly paths: readonly string[];
}

export interface ImageStore extends DiskLibrary {
  list(): readonly StoredImage[];
  find(digest: Digest): StoredImage | undefined;
  /** The image, after it was made sure that its file is what was adopted. Throws `not_found`, `corrupt`. */
  intact(digest: Digest): Promise<StoredImage>;
  /** Path of the directory in which the disk is made; it keeps what is there. */
  stagingDir(key: Digest | `import-${string}` | `capture-${string}` | `package-${string}`): string;
  /** Where a file of a staging directory will lie when its disk is adopted. */
  placeOf(digest: Digest, stagedPath: string): string;
  /** Keys of the staging directories there are. */
  stagings(): Promise<readonly string[]>;
  removeStaging(key: string): Promise<void>;
  /**
   * Moves a verified disk into the store; the staging directory is gone afterwards. Idempotent. Throws
   * `conflict` when the image that it shares storage with is gone: complete it again.
   */
  adopt(adoption: Adoption): Promise<StoredImage>;
  /** Gives a held image a name, as a base image. */
  rename(digest: Digest, name: Name): Promise<StoredImage>;
  /** Takes an image out of use, and all that stand on it; keeps their files for people to look at. */
  quarantine(digest: Digest, reason: string): Promise<void>;
  /** The image is not removed until what comes back is disposed. Throws `not_found`. */
  retain(digest: Digest): Disposable;
  /**
   * Takes an image out of the store and removes its files; those who have it open keep it. Off the list
   * before anything is waited for. Throws `not_found`, and `conflict` when another image stands on it or it
   * is retained.
   */
  remove(digest: Digest): Promise<void>;
  /** Throws `no_room` with what is missing. */
  reserve(request: ReservationRequest): Promise<void>;
  release(key: string): void;
  space(): Promise<StoreSpace>;
  /** Called after each change of the list, with the kind of image that changed. Returns how to stop. */
  onChange(listener: (kind: ImageKind) => void): () => void;
}
