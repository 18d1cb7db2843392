/**
 * Room: infra, lab. The real guests that infra/guests builds: making sure they are there, and laying
 * them out as an origin wants to find them.
 *
 * I1: the cache is never handed to a network: it gets copies (shared blocks where the file system
 *     can), so that no test or demonstration can damage or withdraw another one's source.
 */

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cacheDir } from '@vmdn/core/process/paths.ts';
import type { DiskFile } from './disk-proof.ts';
import { runTool } from './tools.ts';

/** A guest in the cache. */
export interface Guest {
  readonly name: string;
  readonly disk: DiskFile;
  /** Null for a guest without a web site. */
  readonly siteManifestPath: string | null;
  readonly specificationPath: string;
}

const BUILDER = new URL('../guests/build.sh', import.meta.url).pathname;
/** Four guests from nothing on two busy cores. */
const BUILD_MS_MAX = 30 * 60_000;
const COPY_MS_MAX = 120_000;

/** Where finished guests lie, as infra/guests has it. */
export function guestsDir(env: Readonly<Record<string, string | undefined>>): string {
  return env.VMDN_GUESTS_DIR || join(cacheDir(env), 'guests');
}

/** Builds what is missing or out of date; lines of progress go to `onLine`. */
export async function buildGuests(
  names: readonly string[],
  options: {
    readonly signal?: AbortSignal | undefined;
    readonly onLine?: (line: string) => void;
    /** Random data of those guests that have any. */
    readonly dataMiB?: number | undefined;
  },
): Promise<void> {
  const { dataMiB, ...how } = options;
  const size = dataMiB === undefined ? [] : ['--size', String(dataMiB)];
  await runTool(['bash', BUILDER, ...size, ...names], { timeoutMs: BUILD_MS_MAX, ...how });
}

/** Finds a finished guest. Throws when it has not been built. */
export async function findGuest(name: string, folder = guestsDir(process.env)): Promise<Guest> {
  const record = JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')) as {
    file: string;
    format: string;
    specification: string;
    site: { manifest: string } | null;
  };
  return {
    name,
    disk: { path: join(folder, record.file), format: record.format },
    siteManifestPath: record.site === null ? null : join(folder, record.site.manifest),
    specificationPath: join(folder, record.specification),
  };
}

/** Copies a file, holes and all; shares its blocks where the file system can. */
export async function copySparse(from: string, to: string): Promise<void> {
  await runTool(['cp', '--reflink=auto', '--sparse=always', '--', from, to], {
    timeoutMs: COPY_MS_MAX,
  });
}

/**
 * Lays a guest out in an origin's folder under the name `vm`, with further disks that lie there already;
 * `changes` are what else its specification says. Returns the first disk as it lies there.
 */
export async function placeVm(
  guest: Guest,
  vmsDir: string,
  vm = guest.name,
  further: readonly DiskFile[] = [],
  changes: Readonly<Record<string, unknown>> = {},
): Promise<DiskFile> {
  await mkdir(vmsDir, { recursive: true, mode: 0o700 });
  const file = `${vm}.${guest.disk.format}`;
  await copySparse(guest.disk.path, join(vmsDir, file));
  const specification = JSON.parse(await readFile(guest.specificationPath, 'utf8')) as object;
  const disks = [
    { file, format: guest.disk.format },
    ...further.map(({ path, format }) => ({ file: basename(path), format })),
  ];
  const placed = { ...specification, ...changes, name: vm, disks };
  // The specification last, and at once: an origin must not find one without its disk.
  const path = join(vmsDir, `${vm}.vm.json`);
  await writeFile(`${path}.new`, JSON.stringify(placed, null, 2));
  await rename(`${path}.new`, path);
  return { path: join(vmsDir, file), format: guest.disk.format };
}
