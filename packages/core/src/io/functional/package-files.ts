/**
 * Room: io, functional. What the scripts of the appliance are told of packages: a line each, as the package
 * manager of the guest takes them.
 *
 * I1: names and versions are those that parsers of package lists let through: no blanks, no control
 *     characters; and they stand in files, never on a command line of ours.
 */

import type { InstalledPackage } from '../../domain/description.ts';
import { isBootPackage } from '../../domain/functional.ts';
import type { PackageFormat } from '../../domain/package-origin.ts';

/** `remove`: names of what goes. `expected`: what must be there afterwards; kernel and boot loader aside. */
export function packageFiles(
  format: PackageFormat,
  source: readonly InstalledPackage[],
  remove: readonly InstalledPackage[],
): ReadonlyMap<string, Uint8Array> {
  const nameOf = format === 'deb' ? aptName : rpmName;
  const expected = source.filter(({ name }) => !isBootPackage(name));
  const line = ({ name, version, architecture }: InstalledPackage): string =>
    [name, version, architecture].join('\t');
  return new Map([
    ['remove', listFile(remove.map(nameOf))],
    ['expected', listFile(expected.map(line))],
  ]);
}

/** As apt takes it: with the architecture where it is not the system's own or `all`. */
function aptName({ name, architecture }: InstalledPackage): string {
  return architecture === 'all' ? name : `${name}:${architecture}`;
}

function rpmName({ name, architecture }: InstalledPackage): string {
  return `${name}.${architecture}`;
}

/** Lines of a file. */
export function listFile(lines: readonly string[]): Uint8Array {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}
