/**
 * Room: io, inspect. What a powered-off guest is: operating system, packages, enabled services, read with
 * e2fsprogs through a locked export, nothing mounted, nothing of the guest executed.
 *
 * I1: an unknown, damaged or hostile guest is described as far as it can be; it never makes the inspection
 *     fail. What was not found, and why, stands in `remarks`.
 * I2: bounded: volumes, files, sizes and time; the first volume with an os-release file is the root.
 * I3: the source is read through the export only; temporary files are gone when the promise settles.
 */

import type { InstalledPackage, OperatingSystem } from '../../domain/description.ts';
import { describeError, isVmdnError } from '../../domain/errors.ts';
import { resolveGuestLink } from '../../formats/debugfs-output.ts';
import { DPKG_STATUS_BYTES_MAX, parseDpkgStatus } from '../../formats/dpkg-status.ts';
import {
  EXT_SUPERBLOCK_BYTES,
  EXT_SUPERBLOCK_OFFSET_BYTES,
  parseExtSuperblock,
} from '../../formats/ext.ts';
import { OS_RELEASE_BYTES_MAX, parseOsRelease } from '../../formats/os-release.ts';
import type { Partition } from '../../formats/partition-table.ts';
import { enabledServices, isWantsFolder } from '../../formats/systemd-units.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { createDebugfs, type Debugfs } from '../command/debugfs.ts';
import { ensurePrivateDir } from '../files/files.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { openVolumeFile } from './volume-file.ts';
import { type DiskReader, findVolumes, readBytes } from './volumes.ts';

/** What was found in a guest. */
export interface GuestInspection {
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
  readonly services: readonly string[];
  /** Why something is missing, in words for the operator's log. */
  readonly remarks: readonly string[];
}

export interface InspectGuestOptions {
  /** Sockets of the locked exports of the VM's disks, in its order. */
  readonly socketPaths: readonly string[];
  /** A private folder for temporary files. */
  readonly workDir: string;
  readonly runner: CommandRunner;
  readonly signal?: AbortSignal | undefined;
  /** Whether to try FUSE; default true. */
  readonly fuse?: boolean;
}

/** Folders of units below /etc/systemd/system that are looked into. */
const WANTS_FOLDERS_MAX = 200;
const OS_RELEASE_PATHS = ['/usr/lib/os-release', '/etc/os-release'];

/**
 * Where a dynamic loader lies tells the architecture of a guest without dpkg (System V ABI supplements).
 * The names are those of uname(1).
 */
const LOADERS: readonly (readonly [path: string, architecture: string])[] = [
  ['/lib64/ld-linux-x86-64.so.2', 'x86_64'],
  ['/lib/ld-linux-aarch64.so.1', 'aarch64'],
  ['/lib/ld-musl-x86_64.so.1', 'x86_64'],
  ['/lib/ld-musl-aarch64.so.1', 'aarch64'],
];

/** Inspects a guest. Throws only `cancelled`. */
export async function inspectGuest(options: InspectGuestOptions): Promise<GuestInspection> {
  const remarks: string[] = [];
  for (const [i, socketPath] of options.socketPaths.entries()) {
    try {
      const found = await inspectDisk(socketPath, options, remarks);
      if (found !== null) return { ...found, remarks };
    } catch (error) {
      if (isVmdnError(error, 'cancelled')) throw error;
      remarks.push(`disk ${i + 1} was not inspected: ${describeError(error)}`);
    }
  }
  remarks.push('no operating system was found on an ext2, ext3 or ext4 volume');
  return { os: null, packages: [], services: [], remarks };
}

type Found = Omit<GuestInspection, 'remarks'>;

async function inspectDisk(
  socketPath: string,
  options: InspectGuestOptions,
  remarks: string[],
): Promise<Found | null> {
  const disk = await connectNbd({ socketPath, signal: options.signal });
  let volumes: Partition[];
  try {
    volumes = await extVolumes(disk);
  } finally {
    await disk.close();
  }
  await ensurePrivateDir(options.workDir);
  for (const volume of volumes) {
    const file = await openVolumeFile({ ...options, socketPath, volume });
    try {
      const offsetBytes = file.offsetOf(volume);
      const debugfs = createDebugfs(options.runner, { ...file, offsetBytes }, options.signal);
      const found = await inspectVolume(debugfs, remarks);
      if (found !== null) return found;
    } finally {
      await file.close();
    }
  }
  return null;
}

/** Volumes with a sound ext superblock, in order. */
async function extVolumes(disk: DiskReader): Promise<Partition[]> {
  const found: Partition[] = [];
  for (const volume of await findVolumes(disk)) {
    const least = EXT_SUPERBLOCK_OFFSET_BYTES + EXT_SUPERBLOCK_BYTES;
    if (volume.lengthBytes < least) continue;
    const at = volume.offsetBytes + EXT_SUPERBLOCK_OFFSET_BYTES;
    const superblock = parseExtSuperblock(await readBytes(disk, at, EXT_SUPERBLOCK_BYTES));
    if (superblock !== null && superblock.sizeBytes <= volume.lengthBytes) found.push(volume);
  }
  return found;
}

/** Null when the volume holds no operating system. */
async function inspectVolume(debugfs: Debugfs, remarks: string[]): Promise<Found | null> {
  const osRelease = await readOsRelease(debugfs);
  if (osRelease === null) return null;
  const packages = await orRemark(remarks, 'packages', [], () => readPackages(debugfs));
  const services = await orRemark(remarks, 'services', [], () => readServices(debugfs));
  const architecture = await orRemark(remarks, 'architecture', 'unknown', () =>
    readArchitecture(debugfs, packages),
  );
  return { os: { ...osRelease, architecture }, packages, services };
}

async function orRemark<Value>(
  remarks: string[],
  what: string,
  otherwise: Value,
  read: () => Promise<Value>,
): Promise<Value> {
  try {
    return await read();
  } catch (error) {
    if (isVmdnError(error, 'cancelled')) throw error;
    remarks.push(`${what}: ${describeError(error)}`);
    return otherwise;
  }
}

async function readOsRelease(debugfs: Debugfs): Promise<ReturnType<typeof parseOsRelease>> {
  for (const path of OS_RELEASE_PATHS) {
    const real = await followLink(debugfs, path);
    if (real === null) continue;
    const found = parseOsRelease(await debugfs.read(real, OS_RELEASE_BYTES_MAX));
    if (found !== null) return found;
  }
  return null;
}

/** The regular file at `path` or behind the one link that it is; null when there is none. */
async function followLink(debugfs: Debugfs, path: string): Promise<string | null> {
  const inode = await debugfs.stat(path);
  if (inode?.type === 'regular') return path;
  if (inode?.type !== 'symlink' || inode.linkTarget === null) return null;
  const target = resolveGuestLink(path, inode.linkTarget);
  if (target === null) return null;
  return (await debugfs.stat(target))?.type === 'regular' ? target : null;
}

async function readPackages(debugfs: Debugfs): Promise<InstalledPackage[]> {
  const path = '/var/lib/dpkg/status';
  if ((await debugfs.stat(path)) === null) return [];
  return parseDpkgStatus(await debugfs.read(path, DPKG_STATUS_BYTES_MAX));
}

async function readServices(debugfs: Debugfs): Promise<string[]> {
  const root = '/etc/systemd/system';
  const folders = (await debugfs.list(root))
    .filter((entry) => entry.isDirectory && isWantsFolder(entry.name))
    .slice(0, WANTS_FOLDERS_MAX);
  const names: string[] = [];
  for (const folder of folders) {
    const entries = await debugfs.list(`${root}/${folder.name}`);
    names.push(...entries.map((entry) => entry.name));
  }
  return enabledServices(names);
}

/** dpkg itself is built for the guest's architecture; without dpkg the dynamic loader tells. */
async function readArchitecture(
  debugfs: Debugfs,
  packages: readonly InstalledPackage[],
): Promise<string> {
  const dpkg = packages.find((item) => item.name === 'dpkg');
  if (dpkg !== undefined) return dpkg.architecture;
  for (const [path, architecture] of LOADERS) {
    if ((await debugfs.stat(path)) !== null) return architecture;
  }
  return 'unknown';
}
