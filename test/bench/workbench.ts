/**
 * Room: test, bench. Where a benchmark works: a folder that is removed at its end, and a cache for what a
 * method may compute beforehand.
 *
 * I1: the work folder carries the process's id and start time; folders of processes that are gone are
 *     removed when the next benchmark begins.
 * I2: what is in the cache is whole: it is made under another name and renamed.
 * I3: what holds set-uid programs of guests can be entered by its owner only; the folders above can be
 *     passed by anybody, since PostgreSQL and QEMU run as users of their own.
 */

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Guest } from '@vmdn/infra/lab/guests.ts';
import { identify } from '@vmdn/infra/lab/processes.ts';
import type { BenchmarkOptions } from './benchmark.ts';

/** A disk to be delivered or given, as plain bytes, with what identifies it. */
export interface Disk {
  readonly name: string;
  /** As the guest's builder made it. */
  readonly source: Guest;
  /** The guest-visible bytes in a file of our own. */
  readonly rawPath: string;
  readonly sizeBytes: number;
  /** Of the guest-visible bytes, in hex. */
  readonly sha256: string;
  /** Holds what is computed beforehand from this disk; goes when the disk changes. */
  readonly cacheFolder: string;
}

export interface Workbench {
  /** Empty at first, removed at the end. */
  readonly folder: string;
  disk(guest: Guest): Promise<Disk>;
  /** A fresh folder inside `folder`; `passable`: others may reach what lies in it by its path. */
  freshFolder(name: string, access?: 'private' | 'passable'): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

const CONVERT_TIMEOUT_MS = 600_000;
const PRIVATE = 0o700;
const PASSABLE = 0o711;

let foldersMade = 0;

/** Opens a workbench under `<cache>/bench`. */
export async function openWorkbench(options: BenchmarkOptions): Promise<Workbench> {
  const root = join(options.cacheDir, 'bench');
  const runs = join(root, 'runs');
  await mkdir(runs, { recursive: true, mode: PASSABLE });
  await sweep(runs);
  const folder = join(runs, `${process.pid}-${(await identify(process.pid))?.startTicks}`);
  await mkdir(folder, { mode: PASSABLE });
  return {
    folder,
    disk: (guest) => openDisk(options, join(root, 'disks'), guest),
    freshFolder: async (name, access = 'private') => {
      foldersMade += 1;
      const path = join(folder, `${foldersMade}-${name}`);
      await mkdir(path, { mode: access === 'private' ? PRIVATE : PASSABLE });
      return path;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** I2: the file or folder `name` in `folder`, made by `make` the first time. */
export async function precomputed(
  folder: string,
  name: string,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  const unfinished = `${path}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await make(unfinished);
  await rename(unfinished, path);
  return path;
}

/** The SHA-256 of a file, in hex. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const sum = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 4 * 1024 * 1024 }), sum, { signal });
  return sum.digest('hex');
}

async function openDisk(options: BenchmarkOptions, disks: string, guest: Guest): Promise<Disk> {
  const { size, mtimeMs, ino } = await stat(guest.disk.path);
  const identity = JSON.stringify([guest.disk.path, guest.disk.format, size, mtimeMs, ino]);
  const fingerprint = createHash('sha256').update(identity).digest('hex').slice(0, 16);
  const cacheFolder = join(disks, guest.name, fingerprint);
  await mkdir(disks, { recursive: true, mode: PRIVATE });
  await mkdir(cacheFolder, { recursive: true, mode: PRIVATE });
  for (const other of await readdir(join(disks, guest.name))) {
    if (other !== fingerprint) await rm(join(disks, guest.name, other), { recursive: true });
  }
  const { runner, signal } = options;
  const rawPath = await precomputed(cacheFolder, 'disk.raw', async (path) => {
    options.progress(`${guest.name}: a raw copy of its disk`);
    const args = ['convert', '-f', guest.disk.format, '-O', 'raw', '--', guest.disk.path, path];
    await runner.run('qemu-img', args, { timeoutMs: CONVERT_TIMEOUT_MS, signal });
  });
  const sumPath = await precomputed(cacheFolder, 'disk.sha256', async (path) =>
    writeFile(path, await sha256OfFile(rawPath, signal)),
  );
  const sizeBytes = (await stat(rawPath)).size;
  const sha256 = await readFile(sumPath, 'utf8');
  return { name: guest.name, source: guest, rawPath, sizeBytes, sha256, cacheFolder };
}

/** Removes the folders of processes that are gone. */
async function sweep(runs: string): Promise<void> {
  for (const name of await readdir(runs)) {
    const [, pid, startTicks] = /^(\d+)-(\d+)$/.exec(name) ?? [];
    if (pid === undefined) continue;
    if ((await identify(Number(pid)))?.startTicks === Number(startTicks)) continue;
    await rm(join(runs, name), { recursive: true, force: true });
  }
}
