/**
 * Room: domain. Which repositories of packages count for which guest.
 *
 * I1: the guest's distribution decides by its os-release ID alone; the repository says in its signed
 *     index whose it is, and an operator's own word on a repository goes before that.
 * I2: the version only orders: exact version strings of packages decide, so every suite of the same
 *     origin may be searched.
 */

import type { OperatingSystem } from './description.ts';

export type PackageFormat = 'deb' | 'rpm';

/** What a repository says of itself, and what its operator says of it. */
export interface RepositoryFacts {
  readonly format: PackageFormat;
  /** The signed index's Origin; empty for rpm-md, which has no such word. */
  readonly origin: string;
  readonly codename: string;
  readonly version: string;
  /** os-release IDs that the operator named for it; empty when he named none. */
  readonly osIds: readonly string[];
}

/** os-release IDs of distributions made of .deb packages, and the Origin of their archives. */
const DEB_ORIGIN_OF: Readonly<Record<string, string>> = {
  debian: 'Debian',
  devuan: 'Devuan',
  elementary: 'Ubuntu',
  kali: 'Kali',
  linuxmint: 'linuxmint',
  pop: 'Ubuntu',
  raspbian: 'Raspbian',
  ubuntu: 'Ubuntu',
};

const RPM_IDS: ReadonlySet<string> = new Set([
  'almalinux',
  'amzn',
  'azurelinux',
  'centos',
  'fedora',
  'mageia',
  'ol',
  'opensuse-leap',
  'opensuse-tumbleweed',
  'rhel',
  'rocky',
  'sles',
]);

/** The package format of a distribution by its os-release ID; null for one that is not known. */
export function packageFormatOf(osId: string): PackageFormat | null {
  if (Object.hasOwn(DEB_ORIGIN_OF, osId)) return 'deb';
  return RPM_IDS.has(osId) ? 'rpm' : null;
}

/** Whether a repository's packages are looked at for this guest. */
export function servesGuest(os: OperatingSystem, repository: RepositoryFacts): boolean {
  if (repository.osIds.length > 0) return repository.osIds.includes(os.id);
  if (repository.format !== packageFormatOf(os.id)) return false;
  if (repository.format === 'rpm') return true;
  return repository.origin.toLowerCase() === DEB_ORIGIN_OF[os.id]!.toLowerCase();
}

/** Whether the repository is of the guest's own release: those are searched first. */
export function isOfRelease(os: OperatingSystem, repository: RepositoryFacts): boolean {
  const { versionId } = os;
  if (versionId === '') return false;
  const { version, codename } = repository;
  if (version === versionId || codename === versionId) return true;
  return version.startsWith(`${versionId}.`) || version.startsWith(`${versionId}-`);
}
