/**
 * Room: formats. Of an .rpm what is needed to find and read its payload. Source: rpm's
 * docs/manual/format_v3.md and format_v4.md (lead, header structure), docs/manual/tags.md (numbers of tags).
 *
 * An .rpm is a lead of 96 bytes, the signature header padded to a multiple of 8, the header, the payload. A
 * header is 16 bytes of intro, an index of 16 bytes for each tag, and a store of data. All big-endian.
 *
 * I1: total: counts, types and offsets are checked against the store before anything is read from it.
 * I2: signatures are not looked at: who asks for a package says which SHA-256 it has.
 */

import { PACKAGE_MEMBERS_MAX, RPM_HEADER_BYTES_MAX, RPM_TAGS_MAX } from '../domain/limits.ts';
import { corruptPackage, tooLargePackage, untilNul } from './archive.ts';
import type { PayloadSizes } from './cpio.ts';

export const RPM_LEAD_BYTES = 96;
export const RPM_INTRO_BYTES = 16;
const INDEX_ENTRY_BYTES = 16;

/** Tags (docs/manual/tags.md). */
const TAG = {
  fileSizes: 1028,
  fileModes: 1030,
  fileFlags: 1037,
  fileDevices: 1095,
  fileInodes: 1096,
  payloadFormat: 1124,
  payloadCompressor: 1125,
  longFileSizes: 5008,
} as const;

/** Types of data: how many bytes a number has; 6 is a string. */
const NUMBER_BYTES: Readonly<Record<number, number>> = { 3: 2, 4: 4, 5: 8 };
const TYPE_STRING = 6;

/** A file that is only listed, not in the payload. */
const FLAG_GHOST = 64;
const TYPE_MASK = 0o170000;
const TYPE_REGULAR = 0o100000;
const TYPE_SYMLINK = 0o120000;

export interface RpmHeader {
  /** As rpm writes it: gzip, bzip2, xz, lzma, zstd. */
  readonly payloadCompressor: string;
  /** cpio, or something that nobody here reads. */
  readonly payloadFormat: string;
  readonly payloadSizes: PayloadSizes;
}

interface IndexEntry {
  readonly type: number;
  readonly offset: number;
  readonly count: number;
}

/** Checks the lead. Throws `corrupt`. */
export function checkRpmLead(lead: Uint8Array): void {
  const isRpm = lead[0] === 0xed && lead[1] === 0xab && lead[2] === 0xee && lead[3] === 0xdb;
  if (!isRpm) throw corruptPackage('it is no rpm package');
  if (lead[4] !== 3) throw corruptPackage('its rpm format is not version 3 or 4');
  if (lead[6] !== 0 || lead[7] !== 0) throw corruptPackage('it is a source package');
}

/** How many bytes of index and store follow a header's intro. Throws `corrupt`, `too_large`. */
export function rpmHeaderBytes(intro: Uint8Array): number {
  const view = viewOf(intro);
  if (intro.length !== RPM_INTRO_BYTES || view.getUint32(0) !== 0x8eade801) {
    throw corruptPackage('a wrong rpm header');
  }
  const [tags, storeBytes] = [view.getUint32(8), view.getUint32(12)];
  if (tags > RPM_TAGS_MAX) throw tooLargePackage('its header has too many tags', RPM_TAGS_MAX);
  const bytes = tags * INDEX_ENTRY_BYTES + storeBytes;
  if (bytes > RPM_HEADER_BYTES_MAX) {
    throw tooLargePackage('its header is too large', RPM_HEADER_BYTES_MAX);
  }
  return bytes;
}

/** Reads the header's index and store. Throws `corrupt`, `too_large`. */
export function parseRpmHeader(intro: Uint8Array, body: Uint8Array): RpmHeader {
  const tags = viewOf(intro).getUint32(8);
  if (rpmHeaderBytes(intro) !== body.length) throw corruptPackage('a wrong rpm header');
  const view = viewOf(body);
  const index = new Map<number, IndexEntry>();
  for (let at = 0; at < tags * INDEX_ENTRY_BYTES; at += INDEX_ENTRY_BYTES) {
    index.set(view.getUint32(at), {
      type: view.getUint32(at + 4),
      offset: view.getUint32(at + 8),
      count: view.getUint32(at + 12),
    });
  }
  const store = new Store(body.subarray(tags * INDEX_ENTRY_BYTES), index);
  return {
    // rpm of old wrote neither tag: gzip and cpio were all there was.
    payloadCompressor: store.text(TAG.payloadCompressor) ?? 'gzip',
    payloadFormat: store.text(TAG.payloadFormat) ?? 'cpio',
    payloadSizes: payloadSizesOf(store),
  };
}

class Store {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #index: ReadonlyMap<number, IndexEntry>;

  constructor(bytes: Uint8Array, index: ReadonlyMap<number, IndexEntry>) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#index = index;
  }

  /** A string of at most 64 bytes: those that are read here are words. */
  text(tag: number): string | undefined {
    const entry = this.#index.get(tag);
    if (entry === undefined) return undefined;
    const { type, offset } = entry;
    const bytes = this.#bytes.subarray(offset, offset + 64);
    if (type !== TYPE_STRING || !bytes.includes(0)) throw corruptPackage('a wrong rpm header');
    return untilNul(bytes);
  }

  /** The numbers of a tag; none when the header lacks it. */
  numbers(tag: number): Float64Array {
    const entry = this.#index.get(tag);
    if (entry === undefined) return new Float64Array(0);
    const { type, offset, count } = entry;
    const bytes = NUMBER_BYTES[type];
    if (bytes === undefined || offset + count * bytes > this.#bytes.length) {
      throw corruptPackage('a wrong rpm header');
    }
    if (count > PACKAGE_MEMBERS_MAX)
      throw tooLargePackage('it has too many files', PACKAGE_MEMBERS_MAX);
    const numbers = new Float64Array(count);
    for (let i = 0, at = offset; i < count; i += 1, at += bytes) {
      if (bytes === 2) numbers[i] = this.#view.getUint16(at);
      else if (bytes === 4) numbers[i] = this.#view.getUint32(at);
      else numbers[i] = Number(this.#view.getBigUint64(at));
    }
    return numbers;
  }
}

/**
 * What the stripped payload holds for each file: symbolic links their target, and of files that are hard
 * links of one another only the last one the content (lib/rpmfi.c, iterReadArchiveNext).
 */
function payloadSizesOf(store: Store): PayloadSizes {
  const modes = store.numbers(TAG.fileModes);
  const long = store.numbers(TAG.longFileSizes);
  const sizes = long.length > 0 ? long : store.numbers(TAG.fileSizes);
  const inodes = store.numbers(TAG.fileInodes);
  const devices = store.numbers(TAG.fileDevices);
  const flags = store.numbers(TAG.fileFlags);
  if (sizes.length !== modes.length) throw corruptPackage('a wrong rpm header');
  const isFile = (i: number): boolean => (modes[i]! & TYPE_MASK) === TYPE_REGULAR;
  const isLinkable = (i: number): boolean => isFile(i) && ((flags[i] ?? 0) & FLAG_GHOST) === 0;
  const nodeOf = (i: number): string => `${devices[i] ?? 0}/${inodes[i] ?? `#${i}`}`;
  const lastOfNode = new Map<string, number>();
  modes.forEach((_, i) => {
    if (isLinkable(i)) lastOfNode.set(nodeOf(i), i);
  });
  return Array.from(modes, (mode, i) => {
    const isEmpty = isLinkable(i) && lastOfNode.get(nodeOf(i)) !== i;
    const hasContent = isFile(i) || (mode & TYPE_MASK) === TYPE_SYMLINK;
    return { isFile: isFile(i), payloadBytes: hasContent && !isEmpty ? sizes[i]! : 0 };
  });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
