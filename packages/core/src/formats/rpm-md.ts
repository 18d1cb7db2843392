/**
 * Room: formats. rpm-md, the metadata of rpm repositories: repomd.xml lists files with their SHA-256,
 * `primary` lists the packages (https://github.com/rpm-software-management/createrepo_c).
 *
 * I1: only SHA-256 counts: a primary file or package with another checksum is as if it were not there.
 * I2: a package whose location has an `xml:base` (another server) is left out, and so are source packages.
 * I3: of a package only its own first fields count: what stands deeper, or twice, changes nothing.
 */

import { VmdnError } from '../domain/errors.ts';
import type { PackageLookupBuilder } from './package-lookup.ts';
import type { IndexParser } from './packages-index.ts';
import { createXmlScanner } from './xml-scanner.ts';

/** A repomd.xml has a few kilobytes. */
export const REPOMD_BYTES_MAX = 2 ** 20;

export interface RepomdPrimary {
  /** Below the repository's URL. */
  readonly path: string;
  readonly sha256: string;
  /** Length of the file as it is served; null where the file does not say. */
  readonly sizeBytes: number | null;
  readonly openSizeBytes: number | null;
}

/** rpm's version in one word, as dnf prints it: the epoch only where it is not zero. */
export function rpmVersion(epoch: string, version: string, release: string): string {
  return normalRpmVersion(`${epoch}:${version}-${release}`);
}

/** `0:1.2-3` and `(none):1.2-3` are `1.2-3`. */
export function normalRpmVersion(version: string): string {
  return version.replace(/^(0|\(none\)|):/, '');
}

/** The primary file that a repomd.xml lists. Throws `hostile_format`, `corrupt` when it lists none. */
export function parseRepomd(bytes: Uint8Array): RepomdPrimary {
  const found = new Map<string, string>();
  const path: string[] = [];
  let isPrimary = false;
  const put = (key: string, value: string | undefined): void => {
    if (isPrimary && value !== undefined && !found.has(key)) found.set(key, value.trim());
  };
  const scanner = createXmlScanner({
    open(name, attributes) {
      path.push(name);
      if (path.length === 2) isPrimary = name === 'data' && attributes.get('type') === 'primary';
      if (path.length !== 3) return;
      if (name === 'location' && !attributes.has('xml:base')) put(name, attributes.get('href'));
      if (name === 'checksum') put('kind', attributes.get('type'));
    },
    close() {
      path.pop();
    },
    text(text) {
      const name = path[2];
      const isWanted = name === 'checksum' || name === 'size' || name === 'open-size';
      if (path.length === 3 && isWanted) put(name, text);
    },
  });
  scanner.push(bytes);
  scanner.end();
  const sha256 = found.get('checksum')?.toLowerCase() ?? '';
  const location = found.get('location');
  if (location === undefined || found.get('kind') !== 'sha256' || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new VmdnError('corrupt', 'repomd.xml lists no primary file with a SHA-256.');
  }
  return {
    path: location,
    sha256,
    sizeBytes: sizeOf(found.get('size')),
    openSizeBytes: sizeOf(found.get('open-size')),
  };
}

function sizeOf(text: string | undefined): number | null {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

/** Elements whose text is wanted; all stand directly in a package. */
const TEXTS: ReadonlySet<string> = new Set(['name', 'arch', 'checksum']);

/** Feeds `builder` with every binary package of a primary.xml. */
export function createPrimaryParser(builder: PackageLookupBuilder): IndexParser {
  const path: string[] = [];
  let fields = new Map<string, string>();
  const put = (key: string, value: string | undefined): void => {
    if (value !== undefined && !fields.has(key)) fields.set(key, value);
  };
  const scanner = createXmlScanner({
    open(name, attributes) {
      path.push(name);
      if (path.length === 2) fields = new Map([['type', attributes.get('type') ?? '']]);
      if (path.length !== 3) return;
      if (name === 'version') {
        for (const key of ['epoch', 'ver', 'rel']) put(key, attributes.get(key));
      } else if (name === 'checksum') put('kind', attributes.get('type'));
      else if (name === 'location') {
        put('base', attributes.get('xml:base'));
        put('href', attributes.get('href'));
      } else if (name === 'size') {
        put('package', attributes.get('package'));
        put('installed', attributes.get('installed'));
      }
    },
    close() {
      if (path.length === 2 && path[1] === 'package') addPackage(builder, fields);
      path.pop();
    },
    text(text) {
      const name = path[2]!;
      if (path.length === 3 && TEXTS.has(name)) put(name, text.trim());
    },
  });
  return { push: scanner.push, end: scanner.end };
}

function addPackage(builder: PackageLookupBuilder, fields: ReadonlyMap<string, string>): void {
  const text = (name: string): string => fields.get(name) ?? '';
  const isBinary = text('type') === 'rpm' && text('arch') !== 'src' && text('arch') !== 'nosrc';
  if (!isBinary || fields.has('base') || text('kind') !== 'sha256') return;
  const version = rpmVersion(text('epoch') || '0', text('ver'), text('rel'));
  builder.add(
    { name: text('name'), version, architecture: text('arch') },
    {
      path: text('href'),
      sizeBytes: sizeOf(text('package')) ?? 0,
      sha256: text('checksum').toLowerCase(),
      installedBytes: sizeOf(text('installed')) ?? 0,
    },
  );
}
