/**
 * Room: formats. The file list that dpkg writes to /var/lib/dpkg/info/PACKAGE.list while it unpacks a
 * package: one line for each member of data.tar, in its order. Source: dpkg, lib/dpkg/tarfn.c and path.c
 * (path_trim_slash_slashdot), lib/dpkg/fsys-hash.c (fsys_hash_find_node), src/main/filesdb.c
 * (write_filelist_except).
 *
 * I1: bytes in, bytes out: a name in whatever encoding stands in the list as it stands in the archive.
 * I2: memory follows the list, which has at most PACKAGE_LIST_BYTES_MAX bytes; more is `too_large`.
 */

import { PACKAGE_LIST_BYTES_MAX } from '../domain/limits.ts';
import { tooLargePackage } from './archive.ts';

/** The name that dpkg knows a member by: "./usr/bin/" is "/usr/bin", "./" is "/.". */
export function dpkgPath(path: string): string {
  let end = path.length;
  while (end > 1 && (path[end - 1] === '/' || path.endsWith('/.', end))) end -= 1;
  const trimmed = path.slice(0, end);
  let start = 0;
  while (trimmed[start] === '/' || trimmed.startsWith('./', start)) start += 1;
  return `/${trimmed.slice(start)}`;
}

/** Gathers a list line by line. */
export class DpkgList {
  #bytes = Buffer.alloc(4096);
  #length = 0;

  /** Adds a member; `path` holds one character (Latin-1) for each byte. */
  add(path: string): void {
    const line = `${dpkgPath(path)}\n`;
    const length = this.#length + line.length;
    if (length > PACKAGE_LIST_BYTES_MAX) {
      throw tooLargePackage('the names in it are too long together', PACKAGE_LIST_BYTES_MAX);
    }
    if (length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.min(PACKAGE_LIST_BYTES_MAX, 2 * length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.write(line, this.#length, 'latin1');
    this.#length = length;
  }

  /** The list so far; good until the next `add`. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}
