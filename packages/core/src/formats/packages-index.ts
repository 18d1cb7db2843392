/**
 * Room: formats. A Packages file (Debian policy 5.3; Debian wiki: DebianRepository/Format), piece by
 * piece, into a lookup.
 *
 * I1: a streaming parser: what it holds is one unfinished line and the fields of one stanza.
 * I2: a line of more than LINE_BYTES_MAX is `hostile_format`; everything else that is odd leaves one
 *     stanza out.
 */

import { VmdnError } from '../domain/errors.ts';
import type { PackageLookupBuilder } from './package-lookup.ts';

/** The longest of Debian's (Provides of a kernel, descriptions) have some 60 KB. */
const LINE_BYTES_MAX = 2 ** 20;
const LF = 0x0a;
const NUMBER = /^[0-9]{1,15}$/;

export interface IndexParser {
  /** Throws `hostile_format`, `too_large`. */
  push(chunk: Uint8Array): void;
  /** Throws `hostile_format` for an index that ends too early, where that can be seen. */
  end(): void;
}

/** The first letters of the seven wanted fields, in lower case. */
const FIRST_LETTERS: ReadonlySet<number> = new Set(Buffer.from('pvafsi', 'latin1'));

interface Stanza {
  package?: string;
  version?: string;
  architecture?: string;
  filename?: string;
  size?: string;
  sha256?: string;
  'installed-size'?: string;
}

const WANTED: ReadonlySet<string> = new Set([
  'package',
  'version',
  'architecture',
  'filename',
  'size',
  'sha256',
  'installed-size',
]);

/** Feeds `builder` with every stanza that names all that is needed. */
export function createPackagesIndexParser(builder: PackageLookupBuilder): IndexParser {
  let rest: Buffer = Buffer.alloc(0);
  let stanza: Stanza = {};
  const finish = (): void => {
    addStanza(builder, stanza);
    stanza = {};
  };
  const line = (bytes: Buffer, start: number, end: number): void => {
    const first = bytes[start]!;
    if (end === start || (end === start + 1 && first === 0x0d)) finish();
    else if (FIRST_LETTERS.has(first | 0x20)) takeField(stanza, bytes, start, end);
  };
  return {
    push(chunk) {
      const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      const bytes = rest.length === 0 ? view : Buffer.concat([rest, view]);
      let start = 0;
      for (;;) {
        const end = bytes.indexOf(LF, start);
        if (end < 0) break;
        line(bytes, start, end);
        start = end + 1;
      }
      // A copy: the caller's memory may be used again.
      rest = Buffer.from(bytes.subarray(start));
      if (rest.length > LINE_BYTES_MAX) {
        throw new VmdnError('hostile_format', 'A line of the package index is far too long.');
      }
    },
    end() {
      line(rest, 0, rest.length);
      finish();
    },
  };
}

function takeField(stanza: Stanza, bytes: Buffer, start: number, end: number): void {
  const colon = bytes.indexOf(0x3a, start);
  if (colon < 0 || colon >= end || colon - start > 16) return;
  const name = bytes.toString('latin1', start, colon).toLowerCase();
  if (!WANTED.has(name)) return;
  stanza[name as keyof Stanza] ??= bytes
    .toString('latin1', colon + 1, Math.min(end, colon + 2048))
    .trim();
}

function addStanza(builder: PackageLookupBuilder, stanza: Stanza): void {
  const { package: name, version, architecture, filename, size, sha256 } = stanza;
  if (name === undefined || version === undefined || architecture === undefined) return;
  if (filename === undefined || sha256 === undefined || !NUMBER.test(size ?? '')) return;
  const installed = stanza['installed-size'] ?? '';
  builder.add(
    { name, version, architecture },
    {
      path: filename,
      sizeBytes: Number(size),
      sha256: sha256.toLowerCase(),
      // Policy 5.6.20: in units of 1024 bytes.
      installedBytes: NUMBER.test(installed) ? Number(installed) * 1024 : 0,
    },
  );
}
