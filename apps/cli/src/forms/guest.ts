/**
 * Room: domain. What a description says of a guest, as tools that make machines need it: what a package
 * manager can install, what systemd can enable, which mounts mean something on another machine.
 *
 * I1: a description comes from a guest and is hostile. A name that the package manager or systemd would
 *     refuse is left out and counted, so that none is taken for an option, a pattern or a template.
 * I2: kernel and boot loader are the machine's own; so are the volumes of the guest's own disks.
 */

import type { Description, GuestMount, OperatingSystem } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { isBootPackage } from '@vmdn/core/domain/functional.ts';

/** Package managers that the forms speak to. */
export type Manager = 'apt' | 'dnf' | 'yum';

/** A package as its manager is asked for it. */
export interface WantedPackage {
  readonly name: string;
  readonly version: string;
  /** The architecture, where it is not the guest's own. */
  readonly foreign: string | null;
  /** Its architecture as the database has it. */
  readonly architecture: string;
}

export interface FormOptions {
  /** The guest's own versions, or whatever is newest. */
  readonly pinned: boolean;
  /** A container image or box to start from; null: the system's own. */
  readonly base: string | null;
}

export interface FormGuest {
  readonly description: Description;
  readonly os: OperatingSystem;
  readonly manager: Manager;
  /** One version of a name and architecture, in the description's order. */
  readonly packages: readonly WantedPackage[];
  /** Architectures beside the guest's own that dpkg must be told of. */
  readonly foreignArchitectures: readonly string[];
  /** Names with `.service`. */
  readonly services: readonly string[];
  /** Of other machines, or of memory: they can be made anywhere. */
  readonly mounts: readonly GuestMount[];
  /** On the guest's own disks. */
  readonly volumes: readonly GuestMount[];
  /** Kernels and boot loaders, which are left out. */
  readonly bootPackages: readonly string[];
  /** Packages, services and mounts whose names none can have. */
  readonly impossible: number;
}

/** Two characters at least (Debian policy 5.6.1); apt takes a `+` or `-` at the end for an order. */
const DEB_NAME = /^[a-z0-9][a-z0-9+.-]{0,126}[a-z0-9+]$/;
const DEB_VERSION = /^[0-9][A-Za-z0-9.+:~-]{0,127}$/;
/** A name in rpm begins with what is no option. */
const RPM_NAME = /^[A-Za-z0-9_][A-Za-z0-9._+-]{0,255}$/;
const RPM_VERSION = /^[A-Za-z0-9][A-Za-z0-9:._+~^-]{0,255}$/;
const ARCHITECTURE = /^[a-z0-9][a-z0-9_-]{0,31}$/;
/** systemd.unit(5); the first character is none of an option. */
const UNIT_NAME = /^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,246}\.service$/;
/** What a path or an option of a mount may have: anything that is seen, and blanks. */
const VISIBLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]{1,512}$/u;
const ANY_ARCHITECTURE = new Set(['all', 'noarch']);

/** File systems that every system mounts by itself. */
const SYSTEM_TYPES = new Set(
  'proc sysfs devpts devtmpfs securityfs cgroup cgroup2 pstore efivarfs debugfs tracefs mqueue'.split(
    ' ',
  ),
);
const OWN_SOURCE = /^(?:UUID|LABEL|PARTUUID|PARTLABEL|ID)=|^\/dev\//;

/**
 * Reads a description for the forms. Throws `unsupported_format` for a guest whose system or package manager
 * is not known.
 */
export function formGuest(description: Description): FormGuest {
  const { os } = description;
  const manager = managerOf(description);
  if (os === null || manager === null) {
    throw new VmdnError(
      'unsupported_format',
      `${description.vm} has no system with apt, dnf or yum: there is nothing another tool could install.` +
        ' It teleports all the same: vmdn teleport.',
      { data: { vm: description.vm, os: os?.id ?? null } },
    );
  }
  const packages = packagesOf(description, manager, os.architecture);
  const services = description.services.filter((name) => UNIT_NAME.test(name));
  const all = (description.mounts ?? []).filter(({ type }) => !SYSTEM_TYPES.has(type));
  const mounts = onePerTarget(all.filter(isPossibleMount));
  const isOwn = (mount: GuestMount): boolean =>
    OWN_SOURCE.test(mount.source) || mount.type === 'swap' || !mount.target.startsWith('/');
  return {
    description,
    os,
    manager,
    packages: packages.wanted,
    foreignArchitectures:
      manager === 'apt' ? unique(packages.wanted.map((one) => one.foreign)) : [],
    services: unique(services),
    mounts: mounts.filter((mount) => !isOwn(mount)),
    volumes: mounts.filter(isOwn),
    bootPackages: packages.boot,
    impossible:
      packages.impossible +
      description.services.filter((name) => !UNIT_NAME.test(name)).length +
      all.filter((mount) => !isPossibleMount(mount)).length,
  };
}

function managerOf({ packages }: Description): Manager | null {
  const names = new Set(packages.map(({ name }) => name));
  if (names.has('dpkg') && names.has('apt')) return 'apt';
  if (!names.has('rpm')) return null;
  if (['dnf', 'dnf5', 'microdnf'].some((name) => names.has(name))) return 'dnf';
  return names.has('yum') ? 'yum' : null;
}

function packagesOf({ packages }: Description, manager: Manager, native: string) {
  const [namePattern, versionPattern] =
    manager === 'apt' ? [DEB_NAME, DEB_VERSION] : [RPM_NAME, RPM_VERSION];
  const wanted = new Map<string, WantedPackage>();
  const boot = new Set<string>();
  let impossible = 0;
  for (const { name, version, architecture } of packages) {
    const isPossible =
      namePattern.test(name) && versionPattern.test(version) && ARCHITECTURE.test(architecture);
    if (!isPossible) impossible += 1;
    else if (isBootPackage(name)) boot.add(name);
    else {
      const isNative = architecture === native || ANY_ARCHITECTURE.has(architecture);
      const foreign = isNative ? null : architecture;
      // Several versions of one name, as rpm has of what may be installed twice: the last one counts.
      wanted.set(`${name} ${foreign}`, { name, version, foreign, architecture });
    }
  }
  return { wanted: [...wanted.values()], boot: [...boot], impossible };
}

function isPossibleMount({ source, target, type, options }: GuestMount): boolean {
  return [source, target, type, options].every((field) => VISIBLE.test(field));
}

/** The last one is seen where several are mounted on one folder; a swap has none. */
function onePerTarget(mounts: readonly GuestMount[]): GuestMount[] {
  const isLast = ({ target }: GuestMount, at: number): boolean =>
    !target.startsWith('/') || !mounts.slice(at + 1).some((later) => later.target === target);
  return mounts.filter(isLast);
}

function unique(values: readonly (string | null)[]): string[] {
  return [...new Set(values.filter((value) => value !== null))];
}

/** The name that the manager takes: with the architecture where it is foreign. */
export function packageName({ manager }: FormGuest, { name, foreign }: WantedPackage): string {
  if (foreign === null) return name;
  return manager === 'apt' ? `${name}:${foreign}` : `${name}.${foreign}`;
}

/** What the manager takes on its command line: the name, or this very version (apt-get(8), dnf(8)). */
export function packageSpec(guest: FormGuest, wanted: WantedPackage, pinned: boolean): string {
  if (!pinned) return packageName(guest, wanted);
  if (guest.manager === 'apt') return `${packageName(guest, wanted)}=${wanted.version}`;
  return `${wanted.name}-${wanted.version}.${wanted.architecture}`;
}

/** A line of fstab(5): blanks as \040, backslashes as \134, so that fields stay fields. */
export function fstabFields(mount: GuestMount): [string, string, string, string] {
  const escaped = (field: string): string =>
    field.replaceAll('\\', '\\134').replaceAll(' ', '\\040');
  return [
    escaped(mount.source),
    escaped(mount.target),
    escaped(mount.type),
    escaped(mount.options),
  ];
}

/** The VM's name as a host name (RFC 1123): labels of letters, digits and inner hyphens. */
export function hostName({ description }: FormGuest): string {
  const labels = description.vm.split('.').map((label) => label.replaceAll(/[^A-Za-z0-9]+/g, '-'));
  return labels
    .map((label) => label.replace(/^-|-$/g, ''))
    .filter((label) => label !== '')
    .join('.');
}
