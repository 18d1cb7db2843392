/**
 * Room: io, mirrors. What the two kinds of repositories have in common.
 *
 * I1: a package is found by its exact name, version and architecture; its URL lies below the repository.
 */

import type { InstalledPackage, OperatingSystem } from '../../domain/description.ts';
import { isDigest } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import type { PackageFormat, RepositoryFacts } from '../../domain/package-origin.ts';
import { urlBelow } from '../../formats/mirror-path.ts';
import { binaryKeyring, KEYRING_BYTES_MAX } from '../../formats/openpgp-keys.ts';
import type { PackageLookup } from '../../formats/package-lookup.ts';
import type { Gpgv } from '../command/gpgv.ts';
import { readBoundedFile } from '../files/files.ts';
import type { ResolvedPackage } from '../ports/package-mirrors.ts';
import type { LookupCache } from './lookup-cache.ts';
import type { MirrorHttp } from './mirror-http.ts';

export interface Repository {
  readonly name: string;
  readonly format: PackageFormat;
  /** What its signed index says. Throws when there is none to be used. */
  facts(os: OperatingSystem): Promise<{ facts: RepositoryFacts; remarks: readonly string[] }>;
  /** Those of `packages` that it has. Throws when its index can't be read. */
  search(os: OperatingSystem, packages: readonly InstalledPackage[]): Promise<ResolvedPackage[]>;
}

/** What a repository is made with. `signal` ends with the mirrors. */
export interface RepositoryParts {
  readonly http: MirrorHttp;
  readonly gpgv: Gpgv;
  readonly lookups: LookupCache;
  /** For kept indexes: ours, and there. */
  readonly dir: string;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Looks packages up below `base`; `wantedVersion` is the index's word for an installed version. */
export function findIn(
  lookup: PackageLookup,
  packages: readonly InstalledPackage[],
  where: { readonly base: string; readonly format: PackageFormat; readonly mirror: string },
  wantedVersion: (version: string) => string = (version) => version,
): ResolvedPackage[] {
  return packages.flatMap(({ name, version, architecture }) => {
    const place = lookup.find({ name, version: wantedVersion(version), architecture });
    const url = place === undefined ? undefined : urlBelow(where.base, place.path, where.format);
    if (place === undefined || url === undefined || !isDigest(place.sha256)) return [];
    const { sizeBytes, sha256, installedBytes } = place;
    const { format, mirror } = where;
    const found = { name, version, architecture, format, url, sizeBytes, sha256, installedBytes };
    return [{ ...found, mirror }];
  });
}

/**
 * One binary keyring of several key files. Files without keys are left out where the caller says so, as
 * apt does with what lies in its own folder. Throws `not_found`, `forbidden`, `invalid_input`.
 */
export async function readKeyring(
  paths: readonly string[],
  others: 'refused' | 'left-out' = 'refused',
): Promise<Uint8Array> {
  const keyrings = await Promise.all(
    paths.map(async (path) => {
      const keys = binaryKeyring(await readBoundedFile(path, KEYRING_BYTES_MAX));
      if (keys !== null) return keys;
      if (others === 'left-out') return new Uint8Array();
      throw new VmdnError('invalid_input', `${path} holds no OpenPGP public keys.`);
    }),
  );
  return Buffer.concat(keyrings);
}

/** Values by key, made when first asked for; a guest's words are among the keys, so they are bounded. */
export function createBoundedMap<Value>(valuesMax: number) {
  const values = new Map<string, Value>();
  return (key: string, make: () => Value): Value => {
    const known = values.get(key);
    if (known !== undefined) return known;
    if (values.size === valuesMax) values.delete(values.keys().next().value!);
    const made = make();
    values.set(key, made);
    return made;
  };
}

/** The whole body of a small file. */
export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}
