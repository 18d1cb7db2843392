/**
 * Room: io, functional. The packages that a functional copy must install, from the mirrors, verified, as
 * one archive that an appliance can open.
 *
 * I1: every file has the size and SHA-256 of a signed index, or is `corrupt`.
 * I2: a package that no mirror has is known before the first one is fetched.
 */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { InstalledPackage } from '../../domain/description.ts';
import { VmdnError } from '../../domain/errors.ts';
import { OTHER_METHODS } from '../../domain/functional.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { durableWrite } from '../files/durable-write.ts';
import type { FunctionalCopyJob } from '../ports/functional-copy.ts';
import type { PackageMirrors, ResolvedPackage } from '../ports/package-mirrors.ts';

/** Fetched at once: a mirror near by is faster than one connection's start. */
const FETCHES_AT_ONCE = 4;
const NAMED_MAX = 20;

export interface FetchedPackages {
  /** A tar archive with the files; null when there is nothing to install. */
  readonly archivePath: string | null;
  /** File names in it. */
  readonly names: readonly string[];
  readonly bytes: number;
}

/** Fetches `packages` into `dir`. Throws `not_found` with those that no mirror has, and what open throws. */
export async function fetchPackages(
  means: {
    readonly mirrors: Pick<PackageMirrors, 'resolve' | 'open'>;
    readonly runner: CommandRunner;
  },
  { source, signal }: FunctionalCopyJob,
  packages: readonly InstalledPackage[],
  dir: string,
): Promise<FetchedPackages> {
  if (packages.length === 0) return { archivePath: null, names: [], bytes: 0 };
  const { found, unknown, remarks } = await means.mirrors.resolve(source.os, packages, signal);
  if (unknown.length > 0) throw noRepository(unknown, remarks);
  const folder = join(dir, 'packages');
  await mkdir(folder, { mode: 0o700 });
  const limit = pLimit(FETCHES_AT_ONCE);
  const names = await Promise.all(
    found.map((item, i) =>
      limit(async () => {
        // Names of our own: apt looks into the file.
        const name = `${i}.${item.format}`;
        await fetchOne(means.mirrors, item, join(folder, name), signal);
        return name;
      }),
    ),
  );
  const archivePath = join(dir, 'packages.tar');
  const args = ['-C', folder, '-cf', archivePath, '.'];
  await means.runner.run('tar', args, { timeoutMs: 600_000, signal });
  await rm(folder, { recursive: true });
  return { archivePath, names, bytes: found.reduce((sum, item) => sum + item.sizeBytes, 0) };
}

async function fetchOne(
  mirrors: Pick<PackageMirrors, 'open'>,
  item: ResolvedPackage,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const body = await mirrors.open(item, { signal });
  await durableWrite(path, body, { sizeBytes: item.sizeBytes, sha256: item.sha256 });
}

function noRepository(unknown: readonly InstalledPackage[], remarks: readonly string[]): VmdnError {
  const words = unknown.slice(0, NAMED_MAX).map(({ name, version }) => `${name} ${version}`);
  const more = unknown.length > words.length ? ` and ${unknown.length - words.length} more` : '';
  return new VmdnError(
    'not_found',
    `No repository has ${words.join(', ')}${more} any more; ${OTHER_METHODS}.`,
    { data: { packages: unknown.slice(0, NAMED_MAX), remarks } },
  );
}
