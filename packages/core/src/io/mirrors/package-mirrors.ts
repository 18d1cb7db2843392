/**
 * Room: io, mirrors. The adapter behind the port PackageMirrors: every mirror of this edge.
 *
 * I1: repositories of the guest's own release are searched first, then those of the same origin; the
 *     search ends when every package is found, so that an index that nobody needs is never fetched.
 * I2: what one caller cancels goes on for the others: fetches of indexes end with the mirrors only.
 * I3: a package's bytes are counted and hashed as they pass; a wrong one is never handed on whole
 *     without `corrupt`.
 */

import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { InstalledPackage, OperatingSystem } from '../../domain/description.ts';
import { describeError, isVmdnError, VmdnError } from '../../domain/errors.ts';
import { isOfRelease, packageFormatOf, servesGuest } from '../../domain/package-origin.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { createGpgv } from '../command/gpgv.ts';
import { ensurePrivateDir, sweepTemps } from '../files/files.ts';
import type {
  OpenPackageOptions,
  PackageMirrors,
  PackageResolution,
  ResolvedPackage,
} from '../ports/package-mirrors.ts';
import { createAptRepository } from './apt-repository.ts';
import { createLookupCache } from './lookup-cache.ts';
import {
  createMirrorHttp,
  type MirrorHttp,
  type MirrorProxies,
  type MirrorTimeouts,
} from './mirror-http.ts';
import { type MirrorChoice, readMirrorSources } from './mirror-sources.ts';
import type { Repository, RepositoryParts } from './repository.ts';
import { createRpmRepository } from './rpm-repository.ts';

/** Signed indexes asked for at once. */
const FACTS_AT_ONCE = 4;

export interface PackageMirrorsConfig {
  readonly choice: MirrorChoice;
  readonly runner: CommandRunner;
  /** For indexes; made with mode 0700. What lies there can be made again. One process has it. */
  readonly cacheDir: string;
  /** From http_proxy, https_proxy and no_proxy; what apt is told goes before them. */
  readonly proxies?: MirrorProxies;
  readonly timeouts?: Partial<MirrorTimeouts>;
  /** Milliseconds since 1970; the machine's clock unless given. */
  readonly now?: () => number;
}

export interface OpenedPackageMirrors {
  readonly mirrors: PackageMirrors;
  /** Of the repositories, for words and metrics. */
  readonly names: readonly string[];
  /** What to say once: sources that are not used, and why. */
  readonly remarks: readonly string[];
}

/** Reads where packages may come from; asks no mirror yet. Throws as readMirrorSources, and `forbidden`. */
export async function openPackageMirrors(
  config: PackageMirrorsConfig,
): Promise<OpenedPackageMirrors> {
  const sources = await readMirrorSources(config.runner, config.choice);
  await ensurePrivateDir(config.cacheDir);
  await sweepTemps(config.cacheDir);
  for (const name of await readdir(config.cacheDir)) {
    if (name.startsWith('gpgv-')) await rm(join(config.cacheDir, name), { recursive: true });
  }
  const stop = new AbortController();
  const http = createMirrorHttp({
    proxies: mergeProxies(sources.proxies, config.proxies ?? {}),
    timeouts: config.timeouts ?? {},
  });
  const parts: RepositoryParts = {
    http,
    gpgv: createGpgv(config.runner, config.cacheDir),
    lookups: createLookupCache({ dir: config.cacheDir, runner: config.runner, http }),
    dir: config.cacheDir,
    now: config.now ?? Date.now,
    signal: stop.signal,
  };
  const repositories = [
    ...sources.apt.map((source) => createAptRepository(source, sources.aptTrust, parts)),
    ...sources.rpm.map((source) => createRpmRepository(source, parts)),
  ];
  const mirrors: PackageMirrors = {
    resolve: (os, packages, signal) => orCancelled(resolve(repositories, os, packages), signal),
    open: (resolved, options = {}) => openPackage(http, resolved, options),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await http[Symbol.asyncDispose]();
    },
  };
  const names = [...new Set(repositories.map((repository) => repository.name))];
  return { mirrors, names, remarks: sources.remarks };
}

function mergeProxies(first: MirrorProxies, second: MirrorProxies): MirrorProxies {
  return {
    http: first.http ?? second.http,
    https: first.https ?? second.https,
    byHost: new Map([...(second.byHost ?? []), ...(first.byHost ?? [])]),
  };
}

async function resolve(
  repositories: readonly Repository[],
  os: OperatingSystem,
  packages: readonly InstalledPackage[],
): Promise<PackageResolution> {
  const remarks = new Set<string>();
  const keyOf = (item: InstalledPackage): string =>
    `${item.name}\t${item.version}\t${item.architecture}`;
  const wanted = new Map(packages.map((item) => [keyOf(item), item]));
  const found: ResolvedPackage[] = [];
  for (const repository of await serving(repositories, os, remarks)) {
    if (wanted.size === 0) break;
    try {
      for (const item of await repository.search(os, [...wanted.values()])) {
        // One package may stand in the indexes of several components.
        if (wanted.delete(keyOf(item))) found.push(item);
      }
    } catch (error) {
      if (isVmdnError(error, 'cancelled')) throw error;
      remarks.add(`${repository.name}: not used now; ${describeError(error)}`);
    }
  }
  return { found, unknown: [...wanted.values()], remarks: [...remarks] };
}

/** The repositories that count for a guest, in the order in which they are searched. */
async function serving(
  repositories: readonly Repository[],
  os: OperatingSystem,
  remarks: Set<string>,
): Promise<Repository[]> {
  const format = packageFormatOf(os.id);
  const limit = pLimit(FACTS_AT_ONCE);
  const judged = await Promise.all(
    repositories
      .filter((repository) => format === null || repository.format === format)
      .map((repository) =>
        limit(async () => {
          try {
            const { facts, remarks: more } = await repository.facts(os);
            if (!servesGuest(os, facts)) return [];
            for (const remark of more) remarks.add(remark);
            return [{ repository, isFirst: isOfRelease(os, facts) }];
          } catch (error) {
            if (isVmdnError(error, 'cancelled')) throw error;
            remarks.add(`${repository.name}: not used now; ${describeError(error)}`);
            return [];
          }
        }),
      ),
  );
  const all = judged.flat();
  if (all.length === 0) remarks.add(`No mirror of this edge has packages of ${os.prettyName}.`);
  const first = all.filter((item) => item.isFirst);
  const others = all.filter((item) => !item.isFirst);
  return [...first, ...others].map((item) => item.repository);
}

async function openPackage(
  http: MirrorHttp,
  resolved: ResolvedPackage,
  options: OpenPackageOptions,
): Promise<AsyncIterable<Uint8Array>> {
  // One byte more than there may be, so that too many are seen here, in the words of this package.
  const bytesMax = resolved.sizeBytes + 2 ** 20;
  const answer = await http.get(resolved.url, { ...options, bytesMax });
  if (answer.sizeBytes !== null && answer.sizeBytes !== resolved.sizeBytes) {
    answer.discard();
    throw corrupt(resolved, `it has ${answer.sizeBytes} bytes on the mirror`);
  }
  return verified(answer.body, resolved);
}

async function* verified(
  body: AsyncIterable<Uint8Array>,
  resolved: ResolvedPackage,
): AsyncGenerator<Uint8Array> {
  const digest = createHash('sha256');
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > resolved.sizeBytes) throw corrupt(resolved, 'it is longer than the index says');
    digest.update(piece);
    yield piece;
  }
  if (length < resolved.sizeBytes) throw corrupt(resolved, 'it is shorter than the index says');
  const sha256 = digest.digest('hex');
  if (sha256 !== resolved.sha256) throw corrupt(resolved, `its SHA-256 is ${sha256}`);
}

function corrupt(resolved: ResolvedPackage, what: string): VmdnError {
  const { name, version, mirror } = resolved;
  const message = `The package ${name} ${version} of ${mirror} is not what the index promised: ${what}.`;
  return new VmdnError('corrupt', message, { data: { url: resolved.url } });
}

async function orCancelled<Value>(
  work: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return await work;
  const cancelled = Promise.withResolvers<never>();
  const cancel = (): void =>
    cancelled.reject(new VmdnError('cancelled', 'Looking for packages was cancelled.'));
  if (signal.aborted) cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await Promise.race([work, cancelled.promise]);
  } finally {
    signal.removeEventListener('abort', cancel);
    // Whoever lost the race has nobody left who waits for it.
    work.catch(() => undefined);
    cancelled.promise.catch(() => undefined);
  }
}
