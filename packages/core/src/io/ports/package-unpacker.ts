/**
 * Room: io, ports. How a distribution package becomes a package image (docs/formats/package-image.md).
 *
 * I1: the image depends on the package's bytes alone: every edge that unpacks a package gets one digest.
 * I2: nothing of a package is extracted, linked or executed.
 * I3: an image counts only when the package had the length and the SHA-256 that were expected.
 * I4: when the promise resolves, `disk.raw` and `recipe` lie durably in the staging directory, as
 *     ImageStore.adopt wants them; when it rejects, neither is there.
 */

import type { Digest, MerkleRoot } from '../../domain/digest.ts';
import type { PackageFormat } from '../../domain/package-origin.ts';

export interface UnpackOrder {
  readonly format: PackageFormat;
  /** For words only: what people call the package. */
  readonly name: string;
  /** The package, in chunks of any size; pulled no faster than it is unpacked. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** What the signed index says of it: SHA-256 in lower-case hexadecimal, length in bytes. */
  readonly expected: { readonly sha256: string; readonly sizeBytes: number };
  /** Made if it is not there; a `disk.raw` and `recipe` in it are left over and are replaced. */
  readonly stagingDir: string;
  readonly signal: AbortSignal;
  /** Told, once, for how many seconds a thread was busy with it, also when it failed. */
  readonly onBusy?: (seconds: number) => void;
}

export interface UnpackedPackage {
  readonly digest: Digest;
  readonly keysRoot: MerkleRoot;
  readonly virtualSizeBytes: number;
  /** Bytes of blocks that are not zero. */
  readonly nonZeroBytes: number;
  /** Files in the image, dpkg's own included. */
  readonly files: number;
}

export interface PackageUnpacker {
  /**
   * Throws what `bytes` throws, `corrupt` (not the expected bytes, or no package), `too_large` (a limit),
   * `unsupported_format`, `tool_missing`, `disk_full`, `timeout`, `cancelled`.
   */
  unpack(order: UnpackOrder): Promise<UnpackedPackage>;
}
