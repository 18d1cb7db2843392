/**
 * Room: formats (tests only). Packages made by hand: archives written from their specifications, sharing no
 * code with the parsers.
 */

import { ArchiveFeeder, type ArchiveParser } from './archive.ts';

export interface Entry {
  /** One character for each byte. */
  readonly path: string;
  /** tar's type; '0', a file, unless said. */
  readonly type?: string;
  readonly content?: Uint8Array;
}

const NOTHING = new Uint8Array(0);

function padded(bytes: Uint8Array, unit: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((unit - (bytes.length % unit)) % unit)]);
}

/** A ustar header; a path over 100 bytes is cut. `change` may spoil it before the checksum is made. */
export function tarHeader(
  path: string,
  type: string,
  sizeBytes: number,
  change: (header: Buffer) => void = () => {},
): Buffer {
  const header = Buffer.alloc(512);
  header.write(path.slice(0, 100), 0, 'latin1');
  header.write('0000644\x000000000\x000000000\0', 100, 'latin1');
  header.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  header.write('14600000000\0        ', 136, 'latin1');
  header.write(type, 156, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  change(header);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** A pax record: its length counts its own digits. */
export function paxRecord(keyword: string, value: string): Buffer {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length += 1;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

/** One member, with a long name told as `style` tells it. */
export function tarMember(entry: Entry, style: 'gnu' | 'pax' = 'gnu'): Buffer {
  const { path, type = '0', content = NOTHING } = entry;
  const parts: Uint8Array[] = [];
  if (path.length > 100 && style === 'gnu') {
    const name = Buffer.from(`${path}\0`, 'latin1');
    parts.push(tarHeader('././@LongLink', 'L', name.length), padded(name, 512));
  } else if (path.length > 100) {
    const records = Buffer.concat([paxRecord('mtime', '1.5'), paxRecord('path', path)]);
    parts.push(tarHeader('PaxHeaders/x', 'x', records.length), padded(records, 512));
  }
  parts.push(tarHeader(path, type, content.length), padded(content, 512));
  return Buffer.concat(parts);
}

export function tarOf(entries: readonly Entry[], style: 'gnu' | 'pax' = 'gnu'): Buffer {
  return Buffer.concat([...entries.map((entry) => tarMember(entry, style)), Buffer.alloc(1024)]);
}

/** A .deb of members (deb(5)). */
export function arOf(members: readonly (readonly [string, Uint8Array])[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from('!<arch>\n')];
  for (const [name, content] of members) {
    const size = String(content.length).padEnd(10);
    const header = `${name.padEnd(16)}1700000000  0     0     100644  ${size}\`
`;
    parts.push(Buffer.from(header, 'latin1'), padded(content, 2));
  }
  return Buffer.concat(parts);
}

/** A .deb of two archives, with whatever their compression is. */
export function debOf(
  control: readonly [string, Uint8Array],
  data: readonly [string, Uint8Array],
): Buffer {
  return arOf([['debian-binary', Buffer.from('2.0\n')], control, data]);
}

export interface CpioEntry {
  readonly path: string;
  readonly mode: number;
  readonly content?: Uint8Array;
}

export function cpioOf(entries: readonly CpioEntry[]): Buffer {
  const hex = (value: number): string => value.toString(16).padStart(8, '0');
  const member = ({ path, mode, content = NOTHING }: CpioEntry): Buffer => {
    const numbers = [1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, path.length + 1, 0];
    const header = `070701${numbers.map(hex).join('')}${path}\0`;
    return Buffer.concat([padded(Buffer.from(header, 'latin1'), 4), padded(content, 4)]);
  };
  return Buffer.concat([...entries.map(member), member({ path: 'TRAILER!!!', mode: 0 })]);
}

/** A tag of an rpm header: a string, or numbers of 2, 4 or 8 bytes. */
export type RpmTag = readonly [tag: number, value: string | readonly number[], bytes?: 2 | 4 | 8];

export function rpmHeaderOf(tags: readonly RpmTag[]): Buffer {
  const index: Buffer[] = [];
  let store: Buffer = Buffer.alloc(0);
  for (const [tag, value, bytes = 4] of tags) {
    store = typeof value === 'string' ? store : padded(store, bytes);
    const entry = Buffer.alloc(16);
    const type = typeof value === 'string' ? 6 : { 2: 3, 4: 4, 8: 5 }[bytes];
    const count = typeof value === 'string' ? 1 : value.length;
    [tag, type, store.length, count].forEach((word, i) => {
      entry.writeUInt32BE(word, i * 4);
    });
    index.push(entry);
    if (typeof value === 'string') store = Buffer.concat([store, Buffer.from(`${value}\0`)]);
    else {
      const numbers = Buffer.alloc(value.length * bytes);
      value.forEach((number, i) => {
        if (bytes === 8) numbers.writeBigUInt64BE(BigInt(number), i * 8);
        else numbers.writeUIntBE(number, i * bytes, bytes);
      });
      store = Buffer.concat([store, numbers]);
    }
  }
  const intro = Buffer.alloc(16);
  intro.writeUInt32BE(0x8eade801, 0);
  intro.writeUInt32BE(index.length, 8);
  intro.writeUInt32BE(store.length, 12);
  return Buffer.concat([intro, ...index, store]);
}

export function rpmOf(tags: readonly RpmTag[], payload: Uint8Array): Buffer {
  const lead = Buffer.alloc(96);
  lead.writeUInt32BE(0xedabeedb, 0);
  lead[4] = 3;
  const signature = rpmHeaderOf([
    [1000, [1]],
    [1004, 'a signature'],
  ]);
  return Buffer.concat([lead, padded(signature, 8), rpmHeaderOf(tags), payload]);
}

export interface Found {
  readonly path: string;
  readonly kind: string;
  readonly content: Buffer;
}

/** What a parser finds in a stream that comes in pieces of these lengths, over and over. */
export function membersIn(
  parser: ArchiveParser,
  stream: Uint8Array,
  pieces: readonly number[],
): Found[] {
  const found: { path: string; kind: string; pieces: Buffer[] }[] = [];
  const feeder = new ArchiveFeeder(parser, {
    member: ({ path, kind }) => found.push({ path, kind, pieces: [] }),
    content: (bytes) => found.at(-1)!.pieces.push(Buffer.from(bytes)),
  });
  for (let at = 0, i = 0; at < stream.length; i += 1) {
    const length = pieces[i % pieces.length]!;
    // A copy that is spoilt afterwards: nobody may keep a view of a chunk.
    const piece = Buffer.from(stream.subarray(at, at + length));
    feeder.push(piece);
    piece.fill(0xee);
    at += length;
  }
  feeder.end();
  return found.map(({ path, kind, pieces: parts }) => ({
    path,
    kind,
    content: Buffer.concat(parts),
  }));
}
