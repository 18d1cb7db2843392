/**
 * Room: formats. tar as .deb files carry it: POSIX.1-1988 ustar, GNU long names (types L and K), and of pax
 * (POSIX.1-2001) the keywords path and size. Sources: IEEE Std 1003.1-2017, pax, "ustar Interchange Format"
 * and "pax Interchange Format"; GNU tar manual, "Basic Tar Format".
 *
 * I1: total: a wrong checksum, number, length or keyword is `corrupt`; a name or header beyond its limit
 *     is `too_large`.
 * I2: sparse members are refused: their content is not what lies in the archive.
 * I3: the archive ends at the first block of zeros or where the stream ends between members, as for dpkg.
 */

import {
  PACKAGE_PATH_BYTES_MAX,
  PACKAGE_UNPACKED_BYTES_MAX,
  PAX_HEADER_BYTES_MAX,
} from '../domain/limits.ts';
import {
  type ArchiveParser,
  type ArchiveStep,
  corruptPackage,
  tooLargePackage,
  untilNul,
} from './archive.ts';
import { latin1 } from './image-bytes.ts';

const TAR_BLOCK_BYTES = 512;
/** GNU's '7' is a contiguous file, a file like any other; NUL is a file in tar of old. */
const FILE_TYPES = new Set(['0', '7', '\0']);
const OTHER_TYPES = new Set(['1', '2', '3', '4', '5', '6']);

/** What records before a member say of it. */
interface Overrides {
  path?: string | undefined;
  sizeBytes?: number | undefined;
}

/** The members of a tar archive. Throws `corrupt`, `too_large`. */
export function* tarMembers(): ArchiveParser {
  let overrides: Overrides = {};
  for (;;) {
    const header = yield { take: TAR_BLOCK_BYTES, mayEnd: true };
    if (header === undefined || isAllZero(header)) {
      if (overrides.path === undefined && overrides.sizeBytes === undefined) return;
      throw corruptPackage('a long name belongs to no member');
    }
    checkChecksum(header);
    const sizeBytes = tarNumber(header.subarray(124, 136));
    const type = String.fromCharCode(header[156]!);
    if (type === 'L' || type === 'K') {
      const path = untilNul(yield* record(sizeBytes, PACKAGE_PATH_BYTES_MAX + 1));
      if (type === 'L') overrides.path = path;
    } else if (type === 'x') {
      Object.assign(overrides, parsePax(yield* record(sizeBytes, PAX_HEADER_BYTES_MAX)));
    } else if (type === 'g') {
      // Global records say who made the archive; one that named a path or a size would mean every member.
      const found = parsePax(yield* record(sizeBytes, PAX_HEADER_BYTES_MAX));
      if (found.path !== undefined || found.sizeBytes !== undefined) {
        throw corruptPackage('a global header names a member');
      }
    } else {
      yield* member(type, overrides.path ?? ustarPath(header), overrides.sizeBytes ?? sizeBytes);
      overrides = {};
    }
  }
}

function* member(
  type: string,
  path: string,
  sizeBytes: number,
): Generator<ArchiveStep, void, Uint8Array | undefined> {
  if (path.length === 0) throw corruptPackage('a member has no name');
  if (path.length > PACKAGE_PATH_BYTES_MAX) {
    throw tooLargePackage('a name in it is too long', PACKAGE_PATH_BYTES_MAX);
  }
  if (FILE_TYPES.has(type)) {
    if (sizeBytes > PACKAGE_UNPACKED_BYTES_MAX) {
      throw tooLargePackage('a file in it is too large', PACKAGE_UNPACKED_BYTES_MAX);
    }
    // A tar of old marks a directory by a slash at the end of a file's name.
    const isFile = type !== '\0' || !path.endsWith('/');
    if (!isFile && sizeBytes > 0) throw corruptPackage('a directory has content');
    yield { member: { path, kind: isFile ? 'file' : 'other', sizeBytes } };
    yield { skip: paddingOf(sizeBytes) };
    return;
  }
  if (type === 'S') throw corruptPackage('it holds a sparse file');
  if (!OTHER_TYPES.has(type)) throw corruptPackage('it holds a member of an unknown type');
  if (sizeBytes > 0) throw corruptPackage('a link, device or directory has content');
  yield { member: { path, kind: 'other', sizeBytes: 0 } };
}

/** The content of a member that describes the next one. A copy. */
function* record(
  sizeBytes: number,
  maxBytes: number,
): Generator<ArchiveStep, Uint8Array, Uint8Array | undefined> {
  if (sizeBytes > maxBytes) throw tooLargePackage('a header in it is too long', maxBytes);
  if (sizeBytes === 0) throw corruptPackage('an empty header');
  const bytes = yield { take: sizeBytes };
  const copy = Uint8Array.from(bytes!);
  yield { skip: paddingOf(sizeBytes) };
  return copy;
}

function paddingOf(sizeBytes: number): number {
  return (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

function isAllZero(header: Uint8Array): boolean {
  for (const byte of header) if (byte !== 0) return false;
  return true;
}

/** The sum of the header's bytes, its own field counted as spaces. */
function checkChecksum(header: Uint8Array): void {
  let sum = 8 * 0x20;
  for (let i = 0; i < TAR_BLOCK_BYTES; i += 1) if (i < 148 || i >= 156) sum += header[i]!;
  if (tarNumber(header.subarray(148, 156)) !== sum) throw corruptPackage('a wrong tar checksum');
}

/** prefix/name of ustar; GNU tar's own headers ("ustar  ") have no prefix. */
function ustarPath(header: Uint8Array): string {
  const name = untilNul(header.subarray(0, 100));
  const isUstar = untilNul(header.subarray(257, 265)).startsWith('ustar') && header[262] === 0;
  const prefix = isUstar ? untilNul(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Octal digits between spaces and NULs, or GNU's base 256 (first bit set, big-endian). Throws `corrupt`. */
function tarNumber(field: Uint8Array): number {
  if ((field[0]! & 0x80) !== 0) {
    // 0xff begins a negative number; nothing that is read here can be one.
    let value = field[0]! & 0x7f;
    for (const byte of field.subarray(1)) {
      value = value * 256 + byte;
      if (value > Number.MAX_SAFE_INTEGER) throw corruptPackage('a number in a tar header');
    }
    return value;
  }
  const text = untilNul(field).trim();
  if (!/^[0-7]*$/.test(text)) throw corruptPackage('a number in a tar header');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** Of pax records ("LENGTH KEYWORD=VALUE\n") those that say what the next member is. Throws `corrupt`. */
function parsePax(bytes: Uint8Array): Overrides {
  const text = latin1(bytes);
  const found: Overrides = {};
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(' ', at);
    const digits = space === -1 ? '' : text.slice(at, space);
    const length = /^[1-9][0-9]{0,9}$/.test(digits) ? Number(digits) : 0;
    const equals = text.indexOf('=', space);
    const end = at + length;
    const isWhole = end <= text.length && text[end - 1] === '\n' && equals > space && equals < end;
    if (length === 0 || !isWhole) throw corruptPackage('a pax header');
    const [keyword, value] = [text.slice(space + 1, equals), text.slice(equals + 1, end - 1)];
    if (keyword.startsWith('GNU.sparse.')) throw corruptPackage('it holds a sparse file');
    if (keyword === 'path') found.path = paxPath(value);
    if (keyword === 'size') found.sizeBytes = paxSize(value);
    at = end;
  }
  return found;
}

function paxPath(value: string): string {
  if (value.includes('\0')) throw corruptPackage('a name with a NUL');
  return value;
}

function paxSize(value: string): number {
  if (!/^[0-9]{1,15}$/.test(value)) throw corruptPackage('a pax header');
  return Number(value);
}
