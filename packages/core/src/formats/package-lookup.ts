/**
 * Room: formats. Where a mirror keeps each package: one flat file, sorted lines, found by bisection.
 *
 *   vmdn-package-lookup/1 TAB sha256 of the rest LF
 *   name TAB version TAB architecture TAB path TAB size TAB sha256 TAB installed size LF   (sorted by byte)
 *
 * I1: no object per package: a lookup is one buffer, a search a few dozen comparisons of bytes.
 * I2: fields are printable ASCII without blanks, so that a line can't be forged by what a field holds;
 *     a package that breaks this, or whose path is not safe, is left out.
 * I3: a file that is cut short or damaged is `corrupt`, found before anything is looked up in it.
 * I4: bounded: at most PACKAGES_MAX packages and LOOKUP_BYTES_MAX bytes; more is `too_large`.
 */

import { createHash } from 'node:crypto';
import { VmdnError } from '../domain/errors.ts';
import { isSafeMirrorPath } from './mirror-path.ts';

/** The largest distributions have some 100,000 packages in one index. */
const PACKAGES_MAX = 1_000_000;
export const LOOKUP_BYTES_MAX = 256 * 2 ** 20;

const MAGIC = 'vmdn-package-lookup/1';
const HEADER_BYTES = MAGIC.length + 1 + 64 + 1;
const LF = 0x0a;
const FIELD = /^[!-~]{1,1024}$/;
const SHA256 = /^[0-9a-f]{64}$/;

export interface PackageKey {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

export interface PackagePlace {
  /** Below the repository's URL. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Of the package file, in hexadecimal. */
  readonly sha256: string;
  /** What the package says it takes when unpacked; 0 when it does not say. */
  readonly installedBytes: number;
}

export interface PackageLookup {
  find(key: PackageKey): PackagePlace | undefined;
}

export interface PackageLookupBuilder {
  /** Takes a package, or leaves it out (I2). Throws `too_large`. */
  add(key: PackageKey, place: PackagePlace): void;
  /** The file, header first. */
  finish(): Uint8Array;
}

export function createPackageLookupBuilder(): PackageLookupBuilder {
  let bytes = Buffer.allocUnsafe(2 ** 20);
  let length = 0;
  let starts = new Uint32Array(8192);
  let count = 0;
  const append = (line: string): void => {
    if (length + line.length > LOOKUP_BYTES_MAX || count === PACKAGES_MAX) {
      throw new VmdnError('too_large', 'The index lists more packages than a distribution has.');
    }
    if (length + line.length > bytes.length) {
      bytes = Buffer.concat([bytes], Math.max(bytes.length * 2, length + line.length));
    }
    if (count === starts.length) {
      const larger = new Uint32Array(count * 2);
      larger.set(starts);
      starts = larger;
    }
    starts[count] = length;
    count += 1;
    length += bytes.write(line, length, 'latin1');
  };
  return {
    add({ name, version, architecture }, { path, sizeBytes, sha256, installedBytes }) {
      const isFine =
        [name, version, architecture].every((field) => FIELD.test(field)) &&
        SHA256.test(sha256) &&
        isSafeMirrorPath(path) &&
        isSize(sizeBytes) &&
        sizeBytes > 0 &&
        isSize(installedBytes);
      if (!isFine) return;
      const fields = [name, version, architecture, path, sizeBytes, sha256, installedBytes];
      append(`${fields.join('\t')}\n`);
    },
    finish: () => sortedFile(bytes, length, starts.subarray(0, count)),
  };
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function sortedFile(bytes: Buffer, length: number, starts: Uint32Array): Uint8Array {
  const endOf = (line: number): number => starts[line + 1] ?? length;
  // Lines end in LF, which is less than any byte in them: comparing lines compares fields in turn.
  const compare = (a: number, b: number): number =>
    bytes.compare(bytes, starts[b]!, endOf(b), starts[a]!, endOf(a));
  const order = starts.map((_, line) => line);
  // Distributions publish their indexes sorted, more or less in this order.
  if (order.some((line) => line > 0 && compare(line - 1, line) > 0)) order.sort(compare);
  const file = Buffer.allocUnsafe(HEADER_BYTES + length);
  let at = HEADER_BYTES;
  for (const line of order) at += bytes.copy(file, at, starts[line], endOf(line));
  file.write(`${MAGIC}\t${hash(file)}\n`, 'latin1');
  return file;
}

function hash(file: Uint8Array): string {
  return createHash('sha256').update(file.subarray(HEADER_BYTES)).digest('hex');
}

/** Opens a file that a builder made. Throws `corrupt`. */
export function openPackageLookup(file: Uint8Array): PackageLookup {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const header = bytes.subarray(0, HEADER_BYTES).toString('latin1');
  const isWhole = bytes.length === HEADER_BYTES || bytes.at(-1) === LF;
  if (header !== `${MAGIC}\t${hash(bytes)}\n` || !isWhole) {
    throw new VmdnError('corrupt', 'The lookup of a package index is damaged; it is made again.');
  }
  return { find: (key) => find(bytes, key) };
}

function find(bytes: Buffer, key: PackageKey): PackagePlace | undefined {
  const { name, version, architecture } = key;
  if (![name, version, architecture].every((field) => FIELD.test(field))) return undefined;
  const wanted = Buffer.from(`${name}\t${version}\t${architecture}\t`, 'latin1');
  // The first line at or after `wanted` begins in [low, high].
  let [low, high] = [HEADER_BYTES, bytes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const start = bytes.lastIndexOf(LF, middle - 1) + 1;
    const end = bytes.indexOf(LF, start) + 1;
    if (bytes.compare(wanted, 0, wanted.length, start, end) < 0) low = end;
    else high = start;
  }
  const end = bytes.indexOf(LF, low);
  if (end < 0 || !bytes.subarray(low, end).subarray(0, wanted.length).equals(wanted)) {
    return undefined;
  }
  const fields = bytes.toString('latin1', low + wanted.length, end).split('\t');
  const [path, sizeBytes, sha256, installedBytes] = fields as [string, string, string, string];
  return {
    path,
    sizeBytes: Number(sizeBytes),
    sha256,
    installedBytes: Number(installedBytes),
  };
}
