/**
 * Room: io, mirrors. One suite of an apt repository.
 *
 * I1: InRelease, or Release with Release.gpg where there is none, is verified with the source's own keys
 *     before it is read (signed-index.ts keeps it).
 * I2: an expired Release is refused, unless the source or the machine's apt says Check-Valid-Until: no.
 * I3: an index counts only with the size and SHA-256 of the Release; it is asked for by hash where the
 *     mirror has that, so that an index that is swapped meanwhile hurts nobody.
 */

import { createHash } from 'node:crypto';
import type { InstalledPackage, OperatingSystem } from '../../domain/description.ts';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { type AptRelease, parseAptRelease, RELEASE_BYTES_MAX } from '../../formats/apt-release.ts';
import type { AptSource } from '../../formats/apt-sources.ts';
import { binaryKeyring } from '../../formats/openpgp-keys.ts';
import { createPackagesIndexParser } from '../../formats/packages-index.ts';
import type { TrustedKeys } from '../command/gpgv.ts';
import type { IndexCompression, IndexFile } from './lookup-cache.ts';
import {
  createBoundedMap,
  findIn,
  type Repository,
  type RepositoryParts,
  readAll,
  readKeyring,
} from './repository.ts';
import { createSignedIndex, type FetchedIndex, type SignedIndex } from './signed-index.ts';

/** What the machine's apt is told about all its sources. */
export interface AptTrustSettings {
  /** Key files for sources without keys of their own. */
  readonly keyPaths: readonly string[];
  readonly checkValidUntil: boolean;
}

/** A guest has packages of one architecture, sometimes of two. */
const ARCHITECTURES_MAX = 4;
const ARCHITECTURE = /^[a-z0-9][a-z0-9-]{0,31}$/;
/** `$(ARCH)` in a URI makes several of one source. */
const BASES_MAX = 8;

/** The first that a Release lists is fetched: gz needs no tool and no large buffer; xz is not streamed. */
const VARIANTS: readonly (readonly [string, IndexCompression])[] = [
  ['.gz', 'gz'],
  ['.zst', 'zst'],
  ['.xz', 'xz'],
  ['', 'none'],
];

export function createAptRepository(
  source: AptSource,
  settings: AptTrustSettings,
  parts: RepositoryParts,
): Repository {
  const name = `${new URL(source.uri).host} ${source.suite}`;
  const indexes = createBoundedMap<SignedIndex<AptRelease>>(BASES_MAX);
  const current = async (os: OperatingSystem) => {
    const base = baseFor(source, os);
    const index = indexes(base, () => releaseIndex(base, name, source, settings, parts));
    const { value, remarks } = await index.current();
    if (source.checkValidUntil ?? settings.checkValidUntil) requireValid(value, parts.now());
    return { base, release: value, remarks };
  };
  return {
    name,
    format: 'deb',
    async facts(os) {
      const { release, remarks } = await current(os);
      const { origin, codename, version } = release;
      return { facts: { format: 'deb', origin, codename, version, osIds: source.osIds }, remarks };
    },
    async search(os, packages) {
      const { base, release } = await current(os);
      const where = { base, format: 'deb' as const, mirror: name };
      const found = [];
      for (const variants of indexFiles(source, release, base, architecturesOf(os, packages))) {
        const lookup = await firstThatExists(variants, parts);
        found.push(...findIn(lookup, packages, where));
      }
      return found;
    },
  };
}

function baseFor(source: AptSource, os: OperatingSystem): string {
  const architecture = ARCHITECTURE.test(os.architecture) ? os.architecture : 'unknown';
  return source.uri.replaceAll('$(ARCH)', architecture);
}

function isFlat(source: AptSource): boolean {
  return source.suite.endsWith('/');
}

/** The folder with the Release file. */
function releaseFolder(source: AptSource, base: string): string {
  if (!isFlat(source)) return `${base}dists/${source.suite}/`;
  return new URL(source.suite.replace(/^\/+/, './'), base).href;
}

function releaseIndex(
  base: string,
  name: string,
  source: AptSource,
  settings: AptTrustSettings,
  parts: RepositoryParts,
): SignedIndex<AptRelease> {
  const folder = releaseFolder(source, base);
  return createSignedIndex<AptRelease>({
    dir: parts.dir,
    key: createHash('sha256').update(`apt ${folder}`).digest('hex'),
    label: name,
    fetch: (kept) => fetchRelease(folder, kept, parts),
    async read(fetched) {
      const trusted = await trustedKeys(source, settings);
      const signed = await parts.gpgv.verify(fetched, trusted, parts.signal);
      return parseAptRelease(Buffer.from(signed).toString('utf8'));
    },
    dateOf: (release) => release.dateMs,
    now: parts.now,
  });
}

/** InRelease, or where there is none Release and its signature. */
async function fetchRelease(
  folder: string,
  kept: FetchedIndex | null,
  parts: RepositoryParts,
): Promise<FetchedIndex | null> {
  const get = async (file: string, known: FetchedIndex | null): Promise<FetchedIndex | null> => {
    const headers: Record<string, string> = {};
    if (known?.etag != null) headers['if-none-match'] = known.etag;
    if (known?.lastModified != null) headers['if-modified-since'] = known.lastModified;
    const options = { headers, bytesMax: RELEASE_BYTES_MAX, signal: parts.signal };
    const answer = await parts.http.get(`${folder}${file}`, options);
    const bytes = await readAll(answer.body);
    const { etag, lastModified } = answer;
    if (answer.isUnchanged && known === null) {
      throw new VmdnError('unavailable', 'the mirror calls a file unchanged that nobody had');
    }
    return answer.isUnchanged ? null : { bytes, etag, lastModified, signature: null };
  };
  try {
    return await get('InRelease', kept?.signature === null ? kept : null);
  } catch (error) {
    if (!isVmdnError(error, 'not_found')) throw error;
  }
  const release = await get('Release', kept?.signature === null ? null : kept);
  if (release === null) return null;
  const signature = await get('Release.gpg', null);
  return { ...release, signature: signature!.bytes };
}

async function trustedKeys(source: AptSource, settings: AptTrustSettings): Promise<TrustedKeys> {
  const { trust } = source;
  if (trust.kind === 'inline') {
    const keyring = binaryKeyring(Buffer.from(trust.armoured, 'latin1'));
    if (keyring !== null) return { keyring, fingerprints: null };
    throw new VmdnError('invalid_input', 'The key in Signed-By is not an OpenPGP public key.');
  }
  if (trust.kind === 'files') {
    return { keyring: await readKeyring(trust.paths), fingerprints: null };
  }
  const fingerprints = trust.kind === 'fingerprints' ? trust.fingerprints : null;
  return { keyring: await readKeyring(settings.keyPaths, 'left-out'), fingerprints };
}

function requireValid(release: AptRelease, nowMs: number): void {
  if (release.validUntilMs === null || release.validUntilMs >= nowMs) return;
  const since = new Date(release.validUntilMs).toISOString();
  throw new VmdnError('unavailable', `its Release file expired at ${since}; it is not used`);
}

function architecturesOf(os: OperatingSystem, packages: readonly InstalledPackage[]): string[] {
  const all = new Set([os.architecture, ...packages.map((item) => item.architecture)]);
  all.delete('all');
  return [...all].filter((item) => ARCHITECTURE.test(item)).slice(0, ARCHITECTURES_MAX);
}

/** The indexes to search, each as the variants in which the Release lists it. */
function indexFiles(
  source: AptSource,
  release: AptRelease,
  base: string,
  architectures: readonly string[],
): IndexFile[][] {
  const folder = releaseFolder(source, base);
  if (isFlat(source)) return [variantsOf(release, folder, 'Packages')];
  const wanted = architectures.filter(
    (item) => source.architectures.length === 0 || source.architectures.includes(item),
  );
  if (release.hasIndexOfAll) wanted.push('all');
  return source.components
    .flatMap((component) => wanted.map((item) => `${component}/binary-${item}/Packages`))
    .map((path) => variantsOf(release, folder, path))
    .filter((variants) => variants.length > 0);
}

function variantsOf(release: AptRelease, folder: string, path: string): IndexFile[] {
  return VARIANTS.flatMap(([suffix, compression]): IndexFile[] => {
    const listed = release.files.get(`${path}${suffix}`);
    if (listed === undefined) return [];
    const plain = `${folder}${path}${suffix}`;
    const byHash = `${folder}${path.replace(/[^/]*$/, '')}by-hash/SHA256/${listed.sha256}`;
    return [
      {
        urls: release.hasByHash ? [byHash, plain] : [plain],
        sha256: listed.sha256,
        sizeBytes: listed.sizeBytes,
        compression,
        openSizeBytes: release.files.get(path)?.sizeBytes ?? null,
        parser: createPackagesIndexParser,
      },
    ];
  });
}

async function firstThatExists(variants: readonly IndexFile[], parts: RepositoryParts) {
  for (const [at, variant] of variants.entries()) {
    try {
      return await parts.lookups.lookup(variant, parts.signal);
    } catch (error) {
      if (!isVmdnError(error, 'not_found') || at === variants.length - 1) throw error;
    }
  }
  throw new VmdnError('not_found', 'The Release file lists no index of packages.');
}
