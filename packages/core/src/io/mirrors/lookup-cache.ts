/**
 * Room: io, mirrors. Package indexes as lookups on disk, each named by the SHA-256 of the index as served.
 *
 * I1: an index is parsed only after its size and SHA-256 were found right; a lookup is made once and used
 *     until the index changes, by later starts too. A damaged lookup is made again.
 * I2: decompression stops at a bound; so does the parser.
 * I3: at most LOOKUPS_MAX lookups are kept; those that were not used for longest go first.
 */

import { createReadStream } from 'node:fs';
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import {
  createPackageLookupBuilder,
  LOOKUP_BYTES_MAX,
  openPackageLookup,
  type PackageLookup,
  type PackageLookupBuilder,
} from '../../formats/package-lookup.ts';
import type { IndexParser } from '../../formats/packages-index.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { durableWrite } from '../files/durable-write.ts';
import { readBoundedFile } from '../files/files.ts';
import type { MirrorHttp } from './mirror-http.ts';

/** Compressed: Debian's main has 12 MB, Fedora's primary 40 MB. */
export const INDEX_BYTES_MAX = 256 * 2 ** 20;
/** Decompressed: Debian's main has 50 MB, Fedora's primary 200 MB. */
const OPEN_BYTES_MAX = 2 ** 30;
/** A suite with three components for two architectures has six; some 10 MB each. */
const LOOKUPS_MAX = 64;
const XZ_TIMEOUT_MS = 120_000;
const XZ_MEMORY = '--memlimit-decompress=256MiB';

export type IndexCompression = 'gz' | 'xz' | 'zst' | 'none';

export interface IndexFile {
  /** Tried in turn while they are not found. */
  readonly urls: readonly string[];
  readonly sha256: string;
  /** Length as served; null where the signed index does not say. */
  readonly sizeBytes: number | null;
  readonly compression: IndexCompression;
  /** Length when decompressed; null where the signed index does not say. */
  readonly openSizeBytes: number | null;
  readonly parser: (builder: PackageLookupBuilder) => IndexParser;
}

export interface LookupCache {
  /** Throws what fetching throws, `corrupt`, `hostile_format`, `too_large`, `tool_missing`, `disk_full`. */
  lookup(index: IndexFile, signal: AbortSignal): Promise<PackageLookup>;
}

interface CacheParts {
  readonly dir: string;
  readonly runner: CommandRunner;
  readonly http: MirrorHttp;
}

/** `dir` is ours and exists. */
export function createLookupCache(parts: CacheParts): LookupCache {
  const underWay = new Map<string, Promise<PackageLookup>>();
  return {
    lookup(index, signal) {
      const known = underWay.get(index.sha256);
      if (known !== undefined) return known;
      const made = openOrMake(parts, index, signal).finally(() => underWay.delete(index.sha256));
      underWay.set(index.sha256, made);
      return made;
    },
  };
}

async function openOrMake(
  parts: CacheParts,
  index: IndexFile,
  signal: AbortSignal,
): Promise<PackageLookup> {
  const path = join(parts.dir, `${index.sha256}.lookup`);
  try {
    const lookup = openPackageLookup(await readBoundedFile(path, LOOKUP_BYTES_MAX + 1024));
    await utimes(path, new Date(), new Date());
    return lookup;
  } catch (error) {
    if (!isVmdnError(error, 'not_found') && !isVmdnError(error, 'corrupt')) throw error;
  }
  const servedPath = join(parts.dir, `${index.sha256}.${index.compression}`);
  try {
    await download(parts.http, index, servedPath, signal);
    const builder = createPackageLookupBuilder();
    await parse(parts.runner, index, servedPath, builder, signal);
    const file = builder.finish();
    await durableWrite(path, file);
    await removeOldest(parts.dir);
    return openPackageLookup(file);
  } finally {
    await rm(servedPath, { force: true });
  }
}

async function download(
  http: MirrorHttp,
  index: IndexFile,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const sizeMax = index.sizeBytes ?? INDEX_BYTES_MAX;
  if (sizeMax > INDEX_BYTES_MAX) {
    throw new VmdnError('too_large', `A package index has more than ${INDEX_BYTES_MAX} bytes.`);
  }
  for (const [at, url] of index.urls.entries()) {
    try {
      const answer = await http.get(url, { bytesMax: sizeMax, signal });
      try {
        const { sha256, sizeBytes } = index;
        const promised = { sha256, ...(sizeBytes === null ? {} : { sizeBytes }) };
        await durableWrite(path, answer.body, promised);
        return;
      } finally {
        answer.discard();
      }
    } catch (error) {
      if (!isVmdnError(error, 'not_found') || at === index.urls.length - 1) throw error;
    }
  }
}

async function parse(
  runner: CommandRunner,
  index: IndexFile,
  path: string,
  builder: PackageLookupBuilder,
  signal: AbortSignal,
): Promise<void> {
  const openMax = index.openSizeBytes ?? OPEN_BYTES_MAX;
  if (openMax > OPEN_BYTES_MAX) {
    throw new VmdnError('too_large', `A package index opens to more than ${OPEN_BYTES_MAX} bytes.`);
  }
  const parser = index.parser(builder);
  let length = 0;
  const take = (chunk: Uint8Array): void => {
    length += chunk.length;
    if (length > openMax) {
      throw new VmdnError('hostile_format', 'A package index opens to more than it should.');
    }
    parser.push(chunk);
  };
  if (index.compression === 'xz') {
    const options = { timeoutMs: XZ_TIMEOUT_MS, maxOutputBytes: openMax + 1, signal };
    const args = ['--decompress', '--stdout', XZ_MEMORY, '--', path];
    // Text: an index that is not UTF-8 gets replacement characters where no wanted field has any.
    take(Buffer.from((await runner.run('xz', args, options)).stdout, 'utf8'));
  } else {
    await inflate(index.compression, path, take, signal);
  }
  parser.end();
}

async function inflate(
  compression: 'gz' | 'zst' | 'none',
  path: string,
  take: (chunk: Uint8Array) => void,
  signal: AbortSignal,
): Promise<void> {
  const drain = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const piece of pieces) take(piece);
  };
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  const options = { chunkSize: 256 * 1024 };
  try {
    if (compression === 'none') await pipeline(file, drain, { signal });
    else {
      const inflater = compression === 'gz' ? createGunzip(options) : createZstdDecompress(options);
      await pipeline(file, inflater, drain, { signal });
    }
  } catch (error) {
    const code = String((error as { code?: unknown } | null)?.code ?? '');
    if (!code.startsWith('Z_') && !code.startsWith('ZSTD_') && !code.startsWith('ERR_'))
      throw error;
    throw new VmdnError('corrupt', 'A package index can not be decompressed.', { cause: error });
  }
}

async function removeOldest(dir: string): Promise<void> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.lookup'));
  if (names.length <= LOOKUPS_MAX) return;
  const times = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(dir, name))).mtimeMs })),
  );
  times.sort((a, b) => b.at - a.at);
  for (const { name } of times.slice(LOOKUPS_MAX)) await rm(join(dir, name), { force: true });
}
