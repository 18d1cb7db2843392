/**
 * Room: io, inspect. The files of a powered-off guest as a reader of them sees them, wherever they were read
 * from, and several volumes as the one tree that the guest mounts.
 *
 * I1: only the paths of INSPECTED_PATHS are ever asked for; what holds none of them does not matter.
 */

import type { DebugfsEntry, DebugfsInode } from '../../formats/debugfs-output.ts';

/** Files by absolute path. Symbolic links are followed in all steps of a path but the last. */
export interface GuestFiles {
  /** Null when there is no such file. */
  stat(path: string): Promise<DebugfsInode | null>;
  /** Entries of a folder; none when there is no such folder. */
  list(path: string): Promise<DebugfsEntry[]>;
  /** A regular file's content as text. Throws `not_found`, `too_large`. */
  read(path: string, bytesMax: number): Promise<string>;
}

/** A place that is looked at, and how many steps below it; where only one name counts there, that name. */
export interface InspectedPath {
  readonly path: string;
  readonly depth: number;
  readonly name?: string;
}

/** All that an inspection reads of a guest. */
export const INSPECTED_PATHS: readonly InspectedPath[] = [
  { path: '/usr/lib/os-release', depth: 0 },
  { path: '/etc/os-release', depth: 0 },
  { path: '/etc/fstab', depth: 0 },
  { path: '/etc/systemd/system', depth: 2 },
  { path: '/var/lib/dpkg/status', depth: 0 },
  { path: '/var/lib/rpm', depth: 0 },
  { path: '/usr/lib/sysimage/rpm', depth: 0 },
  { path: '/lib64/ld-linux-x86-64.so.2', depth: 0 },
  { path: '/lib/ld-linux-aarch64.so.1', depth: 0 },
  { path: '/lib/ld-musl-x86_64.so.1', depth: 0 },
  { path: '/lib/ld-musl-aarch64.so.1', depth: 0 },
  { path: '/etc/my.cnf', depth: 0 },
  { path: '/etc/my.cnf.d', depth: 1 },
  { path: '/etc/mysql', depth: 2 },
  { path: '/var/lib/mysql', depth: 0 },
  { path: '/var/lib/mysql/mariadb_upgrade_info', depth: 0 },
  { path: '/var/lib/mysql/mysql_upgrade_info', depth: 0 },
  { path: '/etc/postgresql', depth: 3, name: 'postgresql.conf' },
  { path: '/var/lib/postgresql', depth: 3, name: 'PG_VERSION' },
  { path: '/var/lib/pgsql', depth: 3, name: 'PG_VERSION' },
];

/** Whether something that is looked at lies on a volume that is mounted at `target`. */
export function isInspected(target: string): boolean {
  const below = target === '/' ? '/' : `${target}/`;
  return INSPECTED_PATHS.some(({ path }) => path.startsWith(below) || `${path}/`.startsWith(below));
}

/** All that is looked at on a volume that is mounted at `target`, by its paths there. */
export function pathsBelow(target: string): readonly InspectedPath[] {
  const below = target === '/' ? '' : target;
  return INSPECTED_PATHS.flatMap((place) => {
    if (!`${place.path}/`.startsWith(`${below}/`)) return [];
    return [{ ...place, path: place.path.slice(below.length) || '/' }];
  });
}

/** A volume and where it is mounted. */
export interface MountedFiles {
  readonly target: string;
  readonly files: GuestFiles;
}

/** `root` with other volumes mounted on it; of two that would do the deeper one is asked. */
export function mountedFiles(root: GuestFiles, mounts: readonly MountedFiles[]): GuestFiles {
  const deepestFirst = [...mounts].sort((a, b) => b.target.length - a.target.length);
  const at = (path: string): readonly [GuestFiles, string] => {
    const mount = deepestFirst.find(({ target }) => `${path}/`.startsWith(`${target}/`));
    return mount === undefined
      ? [root, path]
      : [mount.files, path.slice(mount.target.length) || '/'];
  };
  return {
    stat(path) {
      const [files, inner] = at(path);
      return files.stat(inner);
    },
    list(path) {
      const [files, inner] = at(path);
      return files.list(inner);
    },
    read(path, bytesMax) {
      const [files, inner] = at(path);
      return files.read(inner, bytesMax);
    },
  };
}
