/**
 * Room: io, ports. Distributions' packages from the nearest mirror, each proven by a signed index.
 *
 * I1: what `resolve` finds stands with size and SHA-256 in an index that a trusted key signed (or, for an
 *     rpm repository, that its operator said may be unsigned).
 * I2: nothing of a mirror fails `resolve`: a package that no mirror has is `unknown`, a mirror that can't
 *     be used is a remark.
 */

import type { InstalledPackage, OperatingSystem } from '../../domain/description.ts';
import type { Digest } from '../../domain/digest.ts';
import type { PackageFormat } from '../../domain/package-origin.ts';

/** A package file on a mirror. */
export interface ResolvedPackage extends InstalledPackage {
  readonly format: PackageFormat;
  readonly url: string;
  readonly sizeBytes: number;
  /** Of the package file, in hexadecimal, from the index. */
  readonly sha256: Digest;
  /** What the package says it takes when unpacked; 0 when it does not say. */
  readonly installedBytes: number;
  /** Which of the edge's mirrors, for words and metrics. */
  readonly mirror: string;
}

export interface PackageResolution {
  readonly found: readonly ResolvedPackage[];
  /** In no index of this edge's mirrors: another version by now, or of somebody else. */
  readonly unknown: readonly InstalledPackage[];
  /** Sentences for the log and the operator: mirrors not used, and why; unsigned ones that are. */
  readonly remarks: readonly string[];
}

export interface OpenPackageOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of body bytes as they arrive. */
  readonly onWireBytes?: ((bytes: number) => void) | undefined;
}

export interface PackageMirrors extends AsyncDisposable {
  /** Throws `cancelled`. */
  resolve(
    os: OperatingSystem,
    packages: readonly InstalledPackage[],
    signal?: AbortSignal,
  ): Promise<PackageResolution>;
  /**
   * The package file's bytes, for one reading. Throws `not_found` when it left the mirror, `forbidden`,
   * `unavailable`, `timeout`, `cancelled`; the iteration throws these too, and `corrupt` when the bytes
   * are not those of the index: more of them at once, fewer or others at the end. Who stops before the
   * end leaves the loop or aborts the signal.
   */
  open(resolved: ResolvedPackage, options?: OpenPackageOptions): Promise<AsyncIterable<Uint8Array>>;
}
