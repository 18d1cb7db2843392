/**
 * Room: formats. The Release file of an apt repository (Debian wiki: DebianRepository/Format): whose it
 * is, until when it holds, and the SHA-256 and size of each of its indexes.
 *
 * I1: only what gpgv handed out as signed may be parsed here; isOneClearsignedMessage judges shape, not
 *     trust.
 * I2: only SHA-256 counts: a Release without a SHA256 table, or with a date that can't be read, is
 *     `corrupt`; a file listed with two different hashes is listed by none.
 */

import { VmdnError } from '../domain/errors.ts';
import { parseDeb822, wordsOf } from './deb822.ts';

/** Debian's has 150 KB. */
export const RELEASE_BYTES_MAX = 16 * 2 ** 20;

export interface ListedFile {
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface AptRelease {
  readonly origin: string;
  readonly codename: string;
  readonly version: string;
  /** Milliseconds since 1970; null where the file does not say. */
  readonly dateMs: number | null;
  readonly validUntilMs: number | null;
  readonly hasByHash: boolean;
  /** Packages of architecture `all` stand in an index of their own, not in each architecture's. */
  readonly hasIndexOfAll: boolean;
  /** By path below the Release file's folder. */
  readonly files: ReadonlyMap<string, ListedFile>;
}

const TABLE_LINE = /^([0-9a-f]{64})[ \t]+([0-9]{1,15})[ \t]+(\S{1,1024})$/i;

/** Parses signed text. Throws `corrupt`. */
export function parseAptRelease(text: string): AptRelease {
  const fields = parseDeb822(text)[0];
  const table = fields?.get('sha256');
  if (fields === undefined || table === undefined) {
    throw corrupt('it lists no SHA-256');
  }
  const architectures = wordsOf(fields, 'architectures');
  const withoutAll = wordsOf(fields, 'no-support-for-architecture-all');
  return {
    origin: fields.get('origin') ?? '',
    codename: fields.get('codename') ?? '',
    version: fields.get('version') ?? '',
    dateMs: dateOf(fields.get('date')),
    validUntilMs: dateOf(fields.get('valid-until')),
    hasByHash: fields.get('acquire-by-hash')?.toLowerCase() === 'yes',
    hasIndexOfAll: architectures.includes('all') && !withoutAll.includes('Packages'),
    files: parseTable(table),
  };
}

function parseTable(table: string): Map<string, ListedFile> {
  const files = new Map<string, ListedFile>();
  const contradicted = new Set<string>();
  for (const line of table.split('\n')) {
    const match = TABLE_LINE.exec(line.trim());
    if (match === null) continue;
    const file = { sha256: match[1]!.toLowerCase(), sizeBytes: Number(match[2]) };
    const known = files.get(match[3]!);
    if (known !== undefined && known.sha256 !== file.sha256) contradicted.add(match[3]!);
    files.set(match[3]!, file);
  }
  for (const name of contradicted) files.delete(name);
  return files;
}

/** RFC 1123 dates, in UTC as apt wants them. */
function dateOf(value: string | undefined): number | null {
  if (value === undefined || value === '') return null;
  const ms = /(UTC|GMT|\+0000|Z)$/.test(value) ? Date.parse(value.replace(/UTC$/, 'GMT')) : NaN;
  if (Number.isNaN(ms)) throw corrupt(`its date "${value.slice(0, 64)}" can't be read`);
  return ms;
}

/**
 * Whether bytes have the shape of one clear-signed message with nothing before or after it, as apt wants
 * an InRelease file: what stands outside would look like part of it to somebody who reads the file.
 */
export function isOneClearsignedMessage(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes).toString('latin1');
  if (!/^-----BEGIN PGP SIGNED MESSAGE-----\r?\n/.test(text)) return false;
  if (!/\n-----END PGP SIGNATURE-----\s*$/.test(text)) return false;
  const count = (marker: RegExp): number => text.match(marker)?.length ?? 0;
  return (
    count(/^-----BEGIN PGP SIGNED MESSAGE-----/gm) === 1 &&
    count(/^-----BEGIN PGP SIGNATURE-----/gm) === 1 &&
    count(/^-----END PGP SIGNATURE-----/gm) === 1
  );
}

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `The Release file is of no use: ${what}.`, { data: { what } });
}
