/**
 * Room: formats. The installed packages as rpm(8) lists them: a line each with name, version and
 * architecture, tabs between.
 *
 * I1: total and bounded: lines that no package can have are left out, more than PACKAGES_MAX are `too_large`.
 */

import type { InstalledPackage } from '../domain/description.ts';
import { VmdnError } from '../domain/errors.ts';
import { normalRpmVersion } from './rpm-md.ts';

const PACKAGES_MAX = 50_000;
/** Names and versions as rpm itself takes them (rpm: build/parsePreamble.c, rpmCharCheck). */
const NAME = /^[A-Za-z0-9._+-]{1,256}$/;
const VERSION = /^[0-9]{1,10}:[A-Za-z0-9._+~^-]{1,200}$/;
const ARCHITECTURE = /^[a-z0-9_]{1,32}$/;

/** The packages sorted by name, then version. Public keys, which rpm keeps as packages, are left out. */
export function parseRpmList(text: string): InstalledPackage[] {
  const packages: InstalledPackage[] = [];
  for (const line of text.split('\n')) {
    const [name = '', version = '', architecture = ''] = line.split('\t');
    const isFine = NAME.test(name) && VERSION.test(version) && ARCHITECTURE.test(architecture);
    if (!isFine || name === 'gpg-pubkey') continue;
    if (packages.length === PACKAGES_MAX) {
      throw new VmdnError('too_large', `The guest has more than ${PACKAGES_MAX} packages.`);
    }
    packages.push({ name, version: normalRpmVersion(version), architecture });
  }
  const key = (item: InstalledPackage): string => `${item.name}\0${item.version}`;
  return packages.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
