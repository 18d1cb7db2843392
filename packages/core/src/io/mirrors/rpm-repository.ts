/**
 * Room: io, mirrors. One rpm-md repository.
 *
 * I1: repomd.xml is verified with its detached signature and the repository's own keys, unless its
 *     operator said that it may be unsigned; that is remarked each time its index is looked at.
 * I2: primary counts only with the size and SHA-256 of repomd.xml, a package only with primary's.
 * I3: of several base URLs the first that answers serves; what it says is proven, so any may.
 */

import { createHash } from 'node:crypto';
import type { OperatingSystem } from '../../domain/description.ts';
import { VmdnError } from '../../domain/errors.ts';
import { urlBelow } from '../../formats/mirror-path.ts';
import {
  createPrimaryParser,
  normalRpmVersion,
  parseRepomd,
  REPOMD_BYTES_MAX,
  type RepomdPrimary,
} from '../../formats/rpm-md.ts';
import { fillRepoVariables, type RpmSource } from '../../formats/rpm-repo-file.ts';
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

/** Releases and architectures of guests make several of one repository. */
const BASES_MAX = 32;

const COMPRESSION_OF: Readonly<Record<string, IndexCompression>> = {
  gz: 'gz',
  xml: 'none',
  xz: 'xz',
  zst: 'zst',
};

interface Mirror {
  readonly base: string;
  readonly index: SignedIndex<RepomdPrimary>;
}

export function createRpmRepository(source: RpmSource, parts: RepositoryParts): Repository {
  const mirrors = createBoundedMap<Mirror>(BASES_MAX);
  const mirrorOf = (base: string): Mirror =>
    mirrors(base, () => ({ base, index: repomdIndex(base, source, parts) }));
  const current = async (os: OperatingSystem) => {
    const variables = { releasever: os.versionId, basearch: os.architecture };
    const bases = source.baseUrls.map((url) => fillRepoVariables(url, variables));
    let failure: unknown = new VmdnError('invalid_input', 'its baseurl does not fit this guest');
    for (const base of bases) {
      if (base === undefined) continue;
      try {
        return { base, ...(await mirrorOf(base).index.current()) };
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  };
  const remark = `${source.id}: its index is not signed, as its .repo file allows (repo_gpgcheck=0)`;
  return {
    name: source.id,
    format: 'rpm',
    async facts(os) {
      const { remarks } = await current(os);
      return {
        facts: { format: 'rpm', origin: '', codename: '', version: '', osIds: source.osIds },
        remarks: source.mustBeSigned ? remarks : [...remarks, remark],
      };
    },
    async search(os, packages) {
      const { base, value } = await current(os);
      const lookup = await parts.lookups.lookup(primaryFile(base, value), parts.signal);
      const where = { base, format: 'rpm' as const, mirror: source.id };
      return findIn(lookup, packages, where, normalRpmVersion);
    },
  };
}

function repomdIndex(
  base: string,
  source: RpmSource,
  parts: RepositoryParts,
): SignedIndex<RepomdPrimary> {
  return createSignedIndex<RepomdPrimary>({
    dir: parts.dir,
    key: createHash('sha256').update(`rpm ${base}`).digest('hex'),
    label: source.id,
    fetch: (kept) => fetchRepomd(base, source, kept, parts),
    async read(fetched) {
      if (!source.mustBeSigned) return parseRepomd(fetched.bytes);
      if (fetched.signature === null) {
        throw new VmdnError('corrupt', 'its repomd.xml has no signature');
      }
      const trusted = { keyring: await readKeyring(source.keyPaths), fingerprints: null };
      return parseRepomd(await parts.gpgv.verify(fetched, trusted, parts.signal));
    },
    // It does not say when it was made in a way that could be relied on.
    dateOf: () => null,
    now: parts.now,
  });
}

async function fetchRepomd(
  base: string,
  source: RpmSource,
  kept: FetchedIndex | null,
  parts: RepositoryParts,
): Promise<FetchedIndex | null> {
  const headers: Record<string, string> = {};
  if (kept?.etag != null) headers['if-none-match'] = kept.etag;
  if (kept?.lastModified != null) headers['if-modified-since'] = kept.lastModified;
  const limits = { bytesMax: REPOMD_BYTES_MAX, signal: parts.signal };
  const answer = await parts.http.get(`${base}repodata/repomd.xml`, { ...limits, headers });
  const bytes = await readAll(answer.body);
  if (answer.isUnchanged) return null;
  const { etag, lastModified } = answer;
  if (!source.mustBeSigned) return { bytes, etag, lastModified, signature: null };
  const signed = await parts.http.get(`${base}repodata/repomd.xml.asc`, limits);
  return { bytes, etag, lastModified, signature: await readAll(signed.body) };
}

function primaryFile(base: string, primary: RepomdPrimary): IndexFile {
  const url = urlBelow(base, primary.path, 'rpm');
  const compression = COMPRESSION_OF[/\.([a-z]+)$/.exec(primary.path)?.[1] ?? ''];
  if (url === undefined || compression === undefined) {
    throw new VmdnError('unsupported_format', 'its primary file has a name that is not known');
  }
  const { sha256, sizeBytes, openSizeBytes } = primary;
  return {
    urls: [url],
    sha256,
    sizeBytes,
    compression,
    openSizeBytes,
    parser: createPrimaryParser,
  };
}
