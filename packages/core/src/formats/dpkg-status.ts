/**
 * Room: formats. /var/lib/dpkg/status (deb822(5), dpkg-query(1)): which packages a guest has installed.
 *
 * I1: total: any text gives a list; stanzas that are malformed, or not of an installed package, are left out.
 * I2: bounded: at most PACKAGES_MAX packages (more is `too_large`), names and versions by Debian policy.
 */

import type { InstalledPackage } from '../domain/description.ts';
import { VmdnError } from '../domain/errors.ts';

/** A full desktop's file has some 6 MB. */
export const DPKG_STATUS_BYTES_MAX = 64 * 2 ** 20;
/** As in the contract: a full desktop has some 3,000. */
const PACKAGES_MAX = 50_000;

/** Debian policy 5.6.1; dpkg itself is no stricter. */
const PACKAGE_NAME = /^[a-z0-9][a-z0-9+.-]{0,127}$/;
/** Debian policy 5.6.12. */
const VERSION = /^[A-Za-z0-9.+:~-]{1,128}$/;
const ARCHITECTURE = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** The installed packages, sorted by name, then architecture. Throws `too_large`. */
export function parseDpkgStatus(text: string): InstalledPackage[] {
  const packages: InstalledPackage[] = [];
  for (const stanza of text.split(/\n[ \t]*\n/)) {
    const found = installedPackage(stanza);
    if (found === undefined) continue;
    if (packages.length === PACKAGES_MAX) {
      throw new VmdnError('too_large', `The guest has more than ${PACKAGES_MAX} packages.`);
    }
    packages.push(found);
  }
  const key = (item: InstalledPackage): string => `${item.name}\0${item.architecture}`;
  return packages.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function installedPackage(stanza: string): InstalledPackage | undefined {
  const field = (name: string): string => {
    const match = new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'im').exec(stanza);
    return match?.[1] ?? '';
  };
  // "want error-flag state": whatever is wanted, what counts is that the files are there.
  if (!/^\S+ \S+ installed$/.test(field('Status'))) return undefined;
  const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
  const isFine =
    PACKAGE_NAME.test(name) && VERSION.test(version) && ARCHITECTURE.test(architecture);
  return isFine ? { name, version, architecture } : undefined;
}
