/**
 * Room: io, functional. The packages that a functional copy must install, from the mirrors, verified, as
 * one disk that an appliance mounts.
 *
 * I1: every file has the size and SHA-256 of a signed index, or is `corrupt`.
 * I2: a package that no mirror has is known before the first one is fetched.
 * I3: so is that there is no room: as much is promised as the files and the disk of them will take, by what
 *     the packages say; by what they turned out to be, before the disk is made.
 */

import { mkdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import pLimit from 'p-limit';
import type { InstalledPackage } from '../../domain/description.ts';
import { VmdnError } from '../../domain/errors.ts';
import { OTHER_METHODS } from '../../domain/functional.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { durableWrite } from '../files/durable-write.ts';
import type { FunctionalCopyJob } from '../ports/functional-copy.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { PackageMirrors, ResolvedPackage } from '../ports/package-mirrors.ts';
import { storePlain } from './plain-deb.ts';

/** Fetched at once: a mirror near by is faster than one connection's start. */
const FETCHES_AT_ONCE = 4;
const NAMED_MAX = 20;
const BLOCK_BYTES = 4096;
/** Of a file system: inodes take 256 bytes for each 16 KiB, by mke2fs's own measure; twice that. */
const METADATA_SHARE = 1 / 32;
/** For an index of the packages, and what the file system has for itself: 32 MiB. */
const MORE_BLOCKS = 8192;

/** To be disposed of when the disk is no longer needed: its room is no longer promised then. */
export interface FetchedPackages extends Disposable {
  /** A raw disk: a file system with the files and some room; null when there is nothing to install. */
  readonly diskPath: string | null;
  /** File names in it. */
  readonly names: readonly string[];
  readonly bytes: number;
}

interface FetchMeans {
  readonly mirrors: Pick<PackageMirrors, 'resolve' | 'open'>;
  readonly runner: CommandRunner;
  readonly store: Pick<ImageStore, 'reserve' | 'release'>;
}

/**
 * Fetches `packages` into `dir`. Throws `not_found` with those that no mirror has, `no_room`, and what open
 * throws.
 */
export async function fetchPackages(
  means: FetchMeans,
  { source, signal }: FunctionalCopyJob,
  packages: readonly InstalledPackage[],
  dir: string,
): Promise<FetchedPackages> {
  const key = `packages-${basename(dir)}`;
  const release = (): void => means.store.release(key);
  if (packages.length === 0) {
    return { diskPath: null, names: [], bytes: 0, [Symbol.dispose]: release };
  }
  const { found, unknown, remarks } = await means.mirrors.resolve(source.os, packages, signal);
  if (unknown.length > 0) throw noRepository(unknown, remarks);
  const folder = join(dir, 'packages');
  await mkdir(folder, { mode: 0o700 });
  // Names of our own: apt looks into the file.
  const names = found.map(({ format }, i) => `${i}.${format}`);
  const files = names.map((name) => join(folder, name));
  const diskPath = join(dir, 'packages.raw');
  const reserve = (sizes: readonly number[]): Promise<void> =>
    means.store.reserve({ key, bytes: roomFor(sizes), paths: [...files, diskPath] });
  try {
    await reserve(found.map(plainBytes));
    const limit = pLimit(FETCHES_AT_ONCE);
    const fetch = (item: ResolvedPackage, i: number): Promise<void> =>
      limit(() => fetchOne(means, item, files[i]!, signal));
    await Promise.all(found.map(fetch));
    const sizes = await Promise.all(files.map(async (path) => (await stat(path)).size));
    await reserve(sizes);
    await makeDisk(means.runner, folder, diskPath, { blocks: diskBlocks(sizes), signal });
    await rm(folder, { recursive: true });
  } catch (error) {
    release();
    throw error;
  }
  const bytes = found.reduce((sum, item) => sum + item.sizeBytes, 0);
  return { diskPath, names, bytes, [Symbol.dispose]: release };
}

/** What a package takes once its files are not compressed, as far as its index says. */
function plainBytes({ format, sizeBytes, installedBytes }: ResolvedPackage): number {
  return format === 'deb' ? Math.max(sizeBytes, installedBytes) : sizeBytes;
}

/** Blocks of a file system with files of these sizes. */
function diskBlocks(sizes: readonly number[]): number {
  const blocks = sizes.reduce((sum, size) => sum + Math.ceil(size / BLOCK_BYTES), 0);
  return blocks + Math.ceil(blocks * METADATA_SHARE) + MORE_BLOCKS;
}

/** The files and the disk of them, which are there at the same time. */
function roomFor(sizes: readonly number[]): number {
  const files = sizes.reduce((sum, size) => sum + size, 0);
  return files + diskBlocks(sizes) * BLOCK_BYTES;
}

/** Lays the files of a folder out as a file system: under emulation, unpacking an archive takes long. */
async function makeDisk(
  runner: CommandRunner,
  folder: string,
  path: string,
  { blocks, signal }: { readonly blocks: number; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const kind = ['-q', '-F', '-t', 'ext4', '-O', '^has_journal,^resize_inode', '-m', '0'];
  const args = [...kind, '-b', String(BLOCK_BYTES), '-d', folder, path, String(blocks)];
  await runner.run('mke2fs', args, { timeoutMs: 600_000, signal });
}

async function fetchOne(
  { mirrors, runner }: FetchMeans,
  item: ResolvedPackage,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const body = await mirrors.open(item, { signal });
  await durableWrite(path, body, { sizeBytes: item.sizeBytes, sha256: item.sha256 });
  if (item.format === 'deb') await storePlain(path, { runner, signal });
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
