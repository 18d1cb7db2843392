/**
 * Room: formats. cpio as .rpm files carry it: "newc" (070701, and 070702 with checksums, which nobody reads),
 * and rpm's own stripped form (07070X) for payloads with files over 4 GiB, whose members are only an index
 * into the file list of the rpm header. Sources: cpio(5) of libarchive, "New ASCII Format"; rpm's
 * docs/manual/format_v4.md and lib/cpio.c.
 *
 * I1: total: a wrong magic, number, length or index is `corrupt`; a name beyond its limit is `too_large`.
 * I2: the archive ends at TRAILER!!!; a stream that ends without it is `corrupt`.
 */

import { PACKAGE_PATH_BYTES_MAX, PACKAGE_UNPACKED_BYTES_MAX } from '../domain/limits.ts';
import { type ArchiveParser, corruptPackage, tooLargePackage, untilNul } from './archive.ts';

const MAGIC_BYTES = 6;
/** Thirteen numbers of eight hexadecimal digits. */
const NEWC_NUMBERS_BYTES = 13 * 8;
const STRIPPED_NUMBERS_BYTES = 8;
const TRAILER = 'TRAILER!!!';
/** Of st_mode: the type of file, and that of a regular one (inode(7)). */
const TYPE_MASK = 0o170000;
const TYPE_REGULAR = 0o100000;

/** How many bytes of content the payload holds for each file of an rpm's header, for the stripped form. */
export type PayloadSizes = readonly { readonly isFile: boolean; readonly payloadBytes: number }[];

/** The members of a cpio archive. `sizes` are needed for the stripped form. Throws `corrupt`, `too_large`. */
export function* cpioMembers(sizes: PayloadSizes): ArchiveParser {
  for (;;) {
    const magic = untilNul((yield { take: MAGIC_BYTES })!);
    if (magic === '07070X') {
      const index = hex((yield { take: STRIPPED_NUMBERS_BYTES })!, 0);
      yield { skip: paddingOf(MAGIC_BYTES + STRIPPED_NUMBERS_BYTES) };
      const file = sizes[index];
      if (file === undefined)
        throw corruptPackage('its payload names a file that its header does not');
      const sizeBytes = checkedSize(file.payloadBytes);
      // Its path is in the header; nobody here needs it.
      if (file.isFile) yield { member: { path: `#${index}`, kind: 'file', sizeBytes } };
      else yield { skip: sizeBytes };
      yield { skip: paddingOf(sizeBytes) };
      continue;
    }
    if (magic !== '070701' && magic !== '070702') throw corruptPackage('its payload is no cpio');
    const numbers = (yield { take: NEWC_NUMBERS_BYTES })!;
    const [mode, sizeBytes, nameBytes] = [
      hex(numbers, 1),
      checkedSize(hex(numbers, 6)),
      hex(numbers, 11),
    ];
    // The name's NUL counts; "./" before it does not make it longer than the limit allows.
    if (nameBytes < 2) throw corruptPackage('a member has no name');
    if (nameBytes > PACKAGE_PATH_BYTES_MAX + 1) {
      throw tooLargePackage('a name in it is too long', PACKAGE_PATH_BYTES_MAX);
    }
    const path = untilNul((yield { take: nameBytes })!);
    if (path.length !== nameBytes - 1) throw corruptPackage('a name with a NUL');
    yield { skip: paddingOf(MAGIC_BYTES + NEWC_NUMBERS_BYTES + nameBytes) };
    if (path === TRAILER) return;
    const isFile = (mode & TYPE_MASK) === TYPE_REGULAR;
    yield { member: { path, kind: isFile ? 'file' : 'other', sizeBytes: isFile ? sizeBytes : 0 } };
    // The content of a symbolic link is its target.
    if (!isFile) yield { skip: sizeBytes };
    yield { skip: paddingOf(sizeBytes) };
  }
}

function checkedSize(sizeBytes: number): number {
  if (sizeBytes <= PACKAGE_UNPACKED_BYTES_MAX) return sizeBytes;
  throw tooLargePackage('a file in it is too large', PACKAGE_UNPACKED_BYTES_MAX);
}

/** Members and their content begin at multiples of four. */
function paddingOf(length: number): number {
  return (4 - (length % 4)) % 4;
}

/** The `index`-th number of eight hexadecimal digits. Throws `corrupt`. */
function hex(bytes: Uint8Array, index: number): number {
  const text = untilNul(bytes.subarray(index * 8, index * 8 + 8));
  if (!/^[0-9A-Fa-f]{8}$/.test(text)) throw corruptPackage('a number in a cpio header');
  return Number.parseInt(text, 16);
}
