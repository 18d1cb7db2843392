/**
 * Room: domain. SMART-MIGRATE of the 2015 report ("Teleporting virtual machines", Dermois and Rengo): a
 * functional copy of a guest from the most similar image at hand. Which image, which packages, which files;
 * io/functional does it.
 *
 * I1: only images of the same distribution, version and architecture are candidates; least difference wins.
 *     Without any the destination is made from scratch.
 * I2: boot loader, kernel and fstab stay the destination's own.
 * I3: the two file runs are the report's, with its lists of what they leave out.
 */

import type { CopiedDatabase } from './databases.ts';
import type { Description, InstalledPackage, OperatingSystem } from './description.ts';
import type { Digest } from './digest.ts';
import { VmdnError } from './errors.ts';
import type { Name } from './names.ts';
import { packageFormatOf } from './package-origin.ts';

/** How a copy was made, and what is known of it. It is not bit-identical with its source. */
export interface FunctionalCopy {
  /** The image that was cloned; null: none of the release was there, and the copy was made from scratch. */
  readonly image: { readonly digest: Digest; readonly name: Name | null } | null;
  /** Of the copy's own content. */
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  /** Packages. */
  readonly installed: number;
  readonly removed: number;
  /** Package files, from mirrors. */
  readonly packageBytes: number;
  /** Written by the two runs of smartSync, and their sizes. */
  readonly files: number;
  readonly fileBytes: number;
  /** How each of the guest's databases came. */
  readonly databases: readonly CopiedDatabase[];
  readonly seconds: { readonly packages: number; readonly appliance: number };
  /** What was seen to work, in words. */
  readonly checkedBy: readonly string[];
}

/** What is left for a guest that can't be copied so. */
export const OTHER_METHODS =
  'teleport it with the method exact, which copies its disks as they are';

/**
 * Why a guest can't be copied by its packages and files, as far as its description tells; null when nothing
 * that is known speaks against it.
 */
export function functionalObstacle({
  os,
  packages,
  disks,
  mounts = [],
}: Pick<Description, 'os' | 'packages' | 'disks' | 'mounts'>): string | null {
  if (os === null) return 'its operating system is not known: unknown, encrypted or damaged';
  if (packageFormatOf(os.id) === null) {
    return `how packages of ${os.prettyName} are installed is not known`;
  }
  if (packages.length === 0) return 'its packages could not be read';
  if (disks.length > 1) return `it has ${disks.length} disks, and only one can be made anew so far`;
  const cipher = mounts.find(({ source }) => /^\/dev\/mapper\/.*(crypt|luks)/i.test(source));
  return cipher === undefined ? null : `${cipher.target} is encrypted (${cipher.source})`;
}

/** An image seen as the start of a functional copy. */
export interface FunctionalCandidate {
  readonly os: OperatingSystem | null;
  readonly packages: readonly InstalledPackage[];
}

/** What must change in a candidate so that it has the packages of the source. */
export interface PackageDifference {
  /** Missing, or there in another version. */
  readonly install: readonly InstalledPackage[];
  /** There and not in the source. */
  readonly remove: readonly InstalledPackage[];
}

/**
 * Packages that make the destination boot: its kernel and boot loader were installed with its disk, and
 * /boot is left out by both runs. Names of Debian and Ubuntu, Fedora and its relatives.
 */
const KERNELS: readonly RegExp[] = [
  /^linux-(image|modules|headers|generic|virtual)\b/,
  /^kernel(-core|-modules.*)?$/,
];
const BOOT_LOADERS = /^(grub2?|shim|extlinux|syslinux)\b/;

function isKernel(name: string): boolean {
  return KERNELS.some((pattern) => pattern.test(name));
}

/** Whether a package belongs to what makes a machine boot: a kernel, a boot loader. */
export function isBootPackage(name: string): boolean {
  return isKernel(name) || BOOT_LOADERS.test(name);
}

/** `listImages()`: "Only virtual disks/snapshots with **same distribution** and **version**". */
export function listImages<Image extends FunctionalCandidate>(
  source: OperatingSystem,
  images: readonly Image[],
): Image[] {
  return images.filter(({ os }) => os !== null && isSameRelease(source, os));
}

/**
 * `listImages()` as a choice: the image with the fewest packages to change first. None: the destination is
 * made from scratch. Throws `not_found` when that can't be done either.
 */
export function listStarts<Image extends FunctionalCandidate>(
  source: OperatingSystem,
  packages: readonly InstalledPackage[],
  images: readonly Image[],
): readonly Image[] {
  const { id, versionId, architecture, prettyName } = source;
  const found = listImages(source, images);
  const changes = new Map(found.map((image) => [image, changesOf(packages, image)]));
  if (found.length > 0) return found.toSorted((a, b) => changes.get(a)! - changes.get(b)!);
  if (canBeFromScratch(packages)) return [];
  throw new VmdnError(
    'not_found',
    `No image here is of ${prettyName} (${architecture}), and none can be made from scratch, since no ` +
      `kernel is among its packages; seed one, or ${OTHER_METHODS}.`,
    { data: { id, versionId, architecture } },
  );
}

/** Whether a destination for these packages can be made from scratch: one without a kernel starts nothing. */
export function canBeFromScratch(packages: readonly InstalledPackage[]): boolean {
  return packages.some(({ name }) => isKernel(name));
}

/**
 * What a destination that is made from scratch begins with: all packages of the source, its kernel among
 * them. Its boot loader is this node's own.
 */
export function scratchPackages(source: readonly InstalledPackage[]): PackageDifference {
  const isOurs = ({ name }: InstalledPackage): boolean => !isBootPackage(name) || isKernel(name);
  return { install: source.filter(isOurs), remove: [] };
}

function isSameRelease(one: OperatingSystem, other: OperatingSystem): boolean {
  return (
    one.id === other.id &&
    one.versionId === other.versionId &&
    one.architecture === other.architecture
  );
}

function changesOf(packages: readonly InstalledPackage[], image: FunctionalCandidate): number {
  const { install, remove } = packageDifference(packages, image.packages);
  return install.length + remove.length;
}

/** A candidate with what a dry run of the file runs said that it lacks. */
export interface MeasuredCandidate<Image extends FunctionalCandidate> {
  readonly image: Image;
  /** Bytes of files that differ; null: not measured. */
  readonly differingBytes: number | null;
}

/**
 * `pickCandidate()`: the image "with the least amount of differences from the source". By the dry runs where
 * there were any, then by the number of packages to change; null without images.
 */
export function pickCandidate<Image extends FunctionalCandidate>(
  packages: readonly InstalledPackage[],
  candidates: readonly MeasuredCandidate<Image>[],
): Image | null {
  const ranked = candidates.map(({ image, differingBytes }) => {
    const bytes = differingBytes ?? Number.POSITIVE_INFINITY;
    return { image, bytes, changes: changesOf(packages, image) };
  });
  const [best] = ranked.sort((a, b) =>
    a.bytes === b.bytes ? a.changes - b.changes : a.bytes - b.bytes,
  );
  return best?.image ?? null;
}

/**
 * `swPrepare()`: "Install any missing distribution package on the cloned/new VM and remove any extra
 * package". Several versions of one name side by side, as rpm has kernels, count each by itself.
 */
export function packageDifference(
  source: readonly InstalledPackage[],
  candidate: readonly InstalledPackage[],
): PackageDifference {
  const full = (item: InstalledPackage): string =>
    `${item.name}\0${item.architecture}\0${item.version}`;
  const plain = (item: InstalledPackage): string => `${item.name}\0${item.architecture}`;
  const isOurs = ({ name }: InstalledPackage): boolean => !isBootPackage(name);
  const there = new Set(candidate.map(full));
  const wanted = new Set(source.map(plain));
  return {
    install: source.filter((item) => isOurs(item) && !there.has(full(item))),
    remove: candidate.filter((item) => isOurs(item) && !wanted.has(plain(item))),
  };
}

/**
 * Not in the report, whose guests had GRUB 2 of CentOS: Debian's links to the kernel at the root of the
 * guest, by which a boot loader may start it. Both runs leave them out as well, by I2.
 */
export const BOOT_LINKS: readonly string[] = [
  ...['/vmlinuz', '/vmlinuz.old', '/initrd.img', '/initrd.img.old'],
];

const NEVER = [
  ...['/dev', '/tmp', '/proc', '/sys', '/var/tmp', '/run', '/mnt', '/media', '/lost+found'],
] as const;

/**
 * `smartSync()`, first run: "everything but the installation folders". The list stands on the report's last
 * page; it is anchored at the root of the guest.
 */
export const FIRST_RUN_EXCLUDES: readonly string[] = [
  ...NEVER,
  ...['/usr', '/lib', '/etc/fstab', '/lib32', '/lib64', '/boot'],
];

/**
 * Second run: "all the files in the installation folders that do not exist on the destination
 * (software/libraries not installed by a package manager)".
 */
export const SECOND_RUN_EXCLUDES: readonly string[] = [...NEVER, '/boot'];
