/**
 * Room: io, inspect. What a guest is, from its files: operating system, packages, services, mount points,
 * databases. The same for whoever reads the files.
 *
 * I1: an unknown, damaged or hostile guest is described as far as it can be; what was not found, and why,
 *     stands in `remarks`.
 * I2: bounded: files, sizes, entries of folders.
 */

import type { GuestFacts, GuestMount, InstalledPackage } from '../../domain/description.ts';
import { describeError, isVmdnError } from '../../domain/errors.ts';
import { resolveGuestLink } from '../../formats/debugfs-output.ts';
import { DPKG_STATUS_BYTES_MAX, parseDpkgStatus } from '../../formats/dpkg-status.ts';
import { FSTAB_BYTES_MAX, parseFstab } from '../../formats/fstab.ts';
import { OS_RELEASE_BYTES_MAX, parseOsRelease } from '../../formats/os-release.ts';
import { enabledServices, isWantsFolder } from '../../formats/systemd-units.ts';
import type { GuestFiles } from './guest-files.ts';
import { readDatabases } from './read-databases.ts';

/** What the files of a guest say; the firmware is a matter of its disks. */
export type GuestOfFiles = Omit<GuestFacts, 'boots'> & { readonly hasRpmDatabase: boolean };

/** Folders of units below /etc/systemd/system that are looked into. */
const WANTS_FOLDERS_MAX = 200;
const OS_RELEASE_PATHS = ['/usr/lib/os-release', '/etc/os-release'];
/** Where rpm keeps its database: of old, and in newer Fedora and SUSE. */
const RPM_PATHS = ['/var/lib/rpm', '/usr/lib/sysimage/rpm'];

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

/** Whether `files` hold an operating system. Throws what reading throws. */
export async function isRoot(files: GuestFiles): Promise<boolean> {
  return (await readOsRelease(files)) !== null;
}

/** The lines of the guest's fstab; none without one. Throws what reading throws. */
export async function readMounts(files: GuestFiles): Promise<GuestMount[]> {
  const path = await followLink(files, '/etc/fstab');
  return path === null ? [] : parseFstab(await files.read(path, FSTAB_BYTES_MAX));
}

/**
 * Reads a guest. `rpmPackages` are those that rpm itself listed, where it was asked. Throws only `cancelled`.
 */
export async function readGuest(
  files: GuestFiles,
  remarks: string[],
  rpmPackages: readonly InstalledPackage[] = [],
): Promise<GuestOfFiles> {
  const reader = <Value>(what: string, otherwise: Value, read: () => Promise<Value>) =>
    orRemark(remarks, what, otherwise, read);
  const release = await reader('os-release', null, () => readOsRelease(files));
  const debian = await reader('packages', [], () => readPackages(files));
  const packages = debian.length === 0 ? rpmPackages : debian;
  const hasRpmDatabase = await reader('packages', false, () => exists(files, RPM_PATHS));
  const services = await reader('services', [], () => readServices(files));
  const mounts = await reader('mount points', [], () => readMounts(files));
  const databases = await reader('databases', [], () => readDatabases(files, packages));
  const architecture = await reader('architecture', 'unknown', () =>
    readArchitecture(files, packages),
  );
  const os = release === null ? null : { ...release, architecture };
  return { os, packages, services, mounts, databases, hasRpmDatabase };
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

async function readOsRelease(files: GuestFiles): Promise<ReturnType<typeof parseOsRelease>> {
  for (const path of OS_RELEASE_PATHS) {
    const real = await followLink(files, path);
    if (real === null) continue;
    const found = parseOsRelease(await files.read(real, OS_RELEASE_BYTES_MAX));
    if (found !== null) return found;
  }
  return null;
}

/** The regular file at `path` or behind the one link that it is; null when there is none. */
async function followLink(files: GuestFiles, path: string): Promise<string | null> {
  const inode = await files.stat(path);
  if (inode?.type === 'regular') return path;
  if (inode?.type !== 'symlink' || inode.linkTarget === null) return null;
  const target = resolveGuestLink(path, inode.linkTarget);
  if (target === null) return null;
  return (await files.stat(target))?.type === 'regular' ? target : null;
}

async function exists(files: GuestFiles, paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if ((await files.stat(path)) !== null) return true;
  return false;
}

async function readPackages(files: GuestFiles): Promise<InstalledPackage[]> {
  const path = '/var/lib/dpkg/status';
  if ((await files.stat(path)) === null) return [];
  return parseDpkgStatus(await files.read(path, DPKG_STATUS_BYTES_MAX));
}

async function readServices(files: GuestFiles): Promise<string[]> {
  const root = '/etc/systemd/system';
  const folders = (await files.list(root))
    .filter((entry) => entry.isDirectory && isWantsFolder(entry.name))
    .slice(0, WANTS_FOLDERS_MAX);
  const names: string[] = [];
  for (const folder of folders) {
    const entries = await files.list(`${root}/${folder.name}`);
    names.push(...entries.map((entry) => entry.name));
  }
  return enabledServices(names);
}

/** The package manager itself is built for the guest's architecture; without one the dynamic loader tells. */
async function readArchitecture(
  files: GuestFiles,
  packages: readonly InstalledPackage[],
): Promise<string> {
  const manager = packages.find(({ name }) => name === 'dpkg' || name === 'rpm');
  if (manager !== undefined) return manager.architecture;
  for (const [path, architecture] of LOADERS) {
    if ((await files.stat(path)) !== null) return architecture;
  }
  return 'unknown';
}
