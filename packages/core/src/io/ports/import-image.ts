/**
 * Room: io, ports. How a disk file on this machine becomes a base image of the store.
 *
 * I1: the file is locked and only read; it is refused when anybody writes to it, when its header points
 *     anywhere, or when it lies outside the folders that the operator opened for imports.
 * I2: the image is what was read: its digest is computed from the source and again from the copy.
 * I3: idempotent by (name, digest): a disk that the store holds gets the name and is not copied.
 */

import type { Digest } from '../../domain/digest.ts';
import type { Id, Name } from '../../domain/names.ts';
import type { DiskFormat } from '../../domain/vm-specification.ts';

export interface ImportOrder {
  readonly id: Id;
  readonly name: Name;
  /** As the user gave it. */
  readonly file: string;
  readonly format: DiskFormat;
  readonly signal: AbortSignal;
}

/**
 * Throws `not_found`, `forbidden` (outside the folders), `hostile_format`, `unsupported_format`,
 * `source_running`, `source_changed`, `no_room`, `disk_full`, `cancelled`.
 */
export type ImportImage = (order: ImportOrder) => Promise<{ readonly digest: Digest }>;
