/**
 * Room: io, hypervisor (tests). The smallest guest: a boot sector (BIOS, real mode) that says on the
 * serial port whether it has run on this disk before, writes that it has, and halts.
 *
 * It shows what a driver must do for any guest: boot from the disk, read the image, keep writes
 * over a restart, and never write to the image. A second one reads its disk for ever and says what it read; a
 * third one counts, and writes each number to its disk.
 */

import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, open, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseDigest } from '../../domain/digest.ts';
import { BASE_FILE, OWN_FILE, ZERO_FILE } from '../../domain/layers.ts';
import { encodeSharedTables, sharedLayout } from '../../formats/shared-qcow2.ts';

const LOAD_ADDRESS = 0x7c00;
const SECTOR_BYTES = 512;
export const FIRST_BOOT = 'vmdn: first boot';
export const LATER_BOOT = 'vmdn: later boot';
export const HALTED = 'vmdn: halted';

/** Where the guest writes that it has run, as the BIOS counts (16 heads, 63 sectors from 1). */
const RIGHT_BEHIND = { head: 0, sector: 2 };
/** Byte 65,536 of the disk: another segment than the code's. */
export const NEXT_SEGMENT = { head: 2, sector: 3 };

/** The 512 bytes of the sector. */
export function bootSector(mark = RIGHT_BEHIND): Buffer {
  const print = 80;
  const texts = [FIRST_BOOT, LATER_BOOT, HALTED].map((text) => Buffer.from(`${text}\r\n\0`));
  const textsAt = print + 12;
  const address = (index: number): number[] => {
    const before = texts.slice(0, index).reduce((sum, text) => sum + text.length, 0);
    const at = LOAD_ADDRESS + textsAt + before;
    return [at & 0xff, at >> 8];
  };
  const code: number[] = [];
  const call = (target: number): void => {
    const relative = (target - (code.length + 3)) & 0xffff;
    code.push(0xe8, relative & 0xff, relative >> 8);
  };
  code.push(0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0); // cli; ds = es = ss = 0
  code.push(0xbc, 0x00, 0x7c); // mov sp, 0x7c00
  code.push(0x88, 0x16, 0xf0, 0x7d); // mov [0x7df0], dl: the drive we came from
  code.push(0xbb, 0x00, 0x7e, 0xb8, 0x01, 0x02); // es:bx = 0x7e00; read one
  code.push(0xb9, mark.sector, 0x00, 0xb6, mark.head, 0xcd, 0x13); // sector of the mark
  code.push(0xbe, ...address(0)); // mov si, FIRST_BOOT
  code.push(0x80, 0x3e, 0x00, 0x7e, 0x56, 0x75, 0x03); // cmp byte [0x7e00], 'V'; jne over the next
  code.push(0xbe, ...address(1)); // mov si, LATER_BOOT
  call(print);
  code.push(0xc6, 0x06, 0x00, 0x7e, 0x56, 0x8a, 0x16, 0xf0, 0x7d); // [0x7e00] = 'V'; dl = drive
  code.push(0xb8, 0x01, 0x03, 0xb9, mark.sector, 0x00, 0xb6, mark.head, 0xcd, 0x13); // write it
  code.push(0xbe, ...address(2)); // mov si, HALTED
  call(print);
  code.push(0xf4, 0xeb, 0xfd); // hlt; jmp to hlt
  if (code.length > print) throw new Error(`code is ${code.length} bytes long`);
  while (code.length < print) code.push(0x90);
  // print: lodsb; test al, al; jz to ret; mov dx, 0x3f8; out dx, al; jmp print; ret
  code.push(0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, 0xc3);
  const sector = Buffer.alloc(SECTOR_BYTES);
  Buffer.concat([Buffer.from(code), ...texts]).copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** Makes a sparse raw disk that boots into it. */
export async function writeBootDisk(path: string, sizeBytes: number): Promise<void> {
  await using file = await open(path, 'wx');
  await file.truncate(sizeBytes);
  await file.write(bootSector(), 0, SECTOR_BYTES, 0);
  await file.sync();
}

/** What the reading guest says in each pass over its disk, and what it says for a read that failed. */
export const READ_PASS = 'ABCDEFGHIJKLMNO';
export const READ_FAILED = '!';

/**
 * A raw disk of at least 512 KiB whose guest reads 15 of its sectors, from another segment each but for
 * some, says the first letter of each, 10 ms apart, begins a new line, and starts again.
 */
export function readingDisk(sizeBytes: number): Buffer {
  const disk = Buffer.alloc(sizeBytes);
  readingBootSector().copy(disk);
  // Sector 1 of each head, as the BIOS counts: 63 sectors to a head.
  for (const [i, letter] of [...READ_PASS].entries()) {
    disk.write(letter, (i + 1) * 63 * SECTOR_BYTES, 'latin1');
  }
  return disk;
}

function readingBootSector(): Buffer {
  const code = Buffer.from(
    [
      'fa31c08ed88ec08ed0bc007c8816f07d', // cli; ds = es = ss = 0; sp = 0x7c00; [0x7df0] = dl
      'c606f17d01', // pass: head [0x7df1] = 1
      'bb007eb80102b901008a36f17d8a16f07dcd13', // next: es:bx = 0x7e00; read sector 1 of the head
      'a0007e7302b021', // al = the first byte, or READ_FAILED
      'e81b00', // call put
      'b486 31c9 ba1027 cd15', // wait 10,000 us
      'fe06f17d803ef17d10', // head += 1; the 16th?
      '72cf', // jb next
      'b00ae80200', // put a line feed
      'ebc3', // jmp pass
      'baf803eec3', // put: out 0x3f8, al; ret
    ]
      .join('')
      .replaceAll(' ', ''),
    'hex',
  );
  const sector = Buffer.alloc(SECTOR_BYTES);
  code.copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/**
 * A disk that boots, with its code in one of its two files; all else is zero, and the base full of what the
 * guest would take for a mark that it has run.
 */
export async function writeSharedBootDisk(dir: string, codeFile: number, sizeBytes: number) {
  const code = bootSector(NEXT_SEGMENT);
  const place = await mkdtemp(join(dir, 'shared-'));
  await chmod(place, 0o711);
  const base = parseDigest('ba'.repeat(32));
  const paths = [join(place, 'disk', 'disk.qcow2'), join(place, base, 'disk.raw')] as const;
  for (const path of paths) await mkdir(dirname(path));
  const below = Buffer.alloc(sizeBytes, 'V');
  if (codeFile === BASE_FILE) below.set(code);
  await writeFile(paths[1], below);
  const { dataAt, fileBytes, segments } = sharedLayout(sizeBytes);
  const fileOfSegment = new Uint8Array(segments).fill(ZERO_FILE).fill(codeFile, 0, 1);
  await using file = await open(paths[0], 'wx');
  await file.truncate(fileBytes);
  const shared = { virtualSizeBytes: sizeBytes, base, fileOfSegment };
  for (const { offset, bytes } of encodeSharedTables(shared)) {
    await file.write(bytes, 0, bytes.length, offset);
  }
  if (codeFile === OWN_FILE) await file.write(code, 0, code.length, dataAt);
  const hashes = new Map(
    await Promise.all(paths.map(async (path) => [path, await hashOf(path)] as const)),
  );
  const layers = [
    { path: paths[0], format: 'qcow2' },
    { path: paths[1], format: 'raw' },
  ] as const;
  return { layers, hashes };
}

export async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** The writing guest says a dot after so many writes, and READ_FAILED for one that failed. */
export const WRITES_FOR_A_DOT = 16;

/** The writing guest's numbers go round in so many slots, 4 KiB apart, behind the first one. */
const SLOTS = 128;
const SLOT_BYTES = 4096;

/**
 * A raw disk of at least 1 MiB whose guest counts for ever and writes each number (32 bits, little endian) to
 * slot `number % 128`, one write after the other. It goes on counting where its disk says that it was.
 */
export function writingDisk(sizeBytes: number): Buffer {
  const disk = Buffer.alloc(sizeBytes);
  writingBootSector().copy(disk);
  return disk;
}

/**
 * The last number that a writing guest's disk holds. Throws when one before it is missing: a disk that holds
 * a later write and lacks an earlier one was never what the guest had.
 */
export function lastWritten(disk: Uint8Array): number {
  const view = new DataView(disk.buffer, disk.byteOffset, disk.byteLength);
  const slots = Array.from({ length: SLOTS }, (_, i) => view.getUint32((i + 1) * SLOT_BYTES, true));
  const last = Math.max(...slots);
  for (let number = Math.max(1, last - SLOTS + 1); number <= last; number += 1) {
    const found = slots[number % SLOTS];
    if (found !== number) throw new Error(`${number} is missing before ${last}: there is ${found}`);
  }
  return last;
}

function writingBootSector(): Buffer {
  const code = Buffer.from(
    [
      'fa31c08ed88ec08ed0bc007c8816f07d', // cli; ds = es = ss = 0; sp = 0x7c00; [0x7df0] = dl
      'c706f27d0000 66c706007e00000000', // slot [0x7df2] = 0; number [0x7e00] = 0
      'c706047d0080', // read to 0x8000
      'a1f27d c1e003 83c008 a3087d', // look: LBA [0x7d08] = slot * 8 + 8
      'be007d b80042 8a16f07d cd13', // read it
      '66a10080 663b06007e 7604 66a3007e', // number = the larger one
      'ff06f27d 813ef27d8000 72cd', // slot += 1; look, up to 128
      'c706047d007e', // write from 0x7e00
      '66ff06007e', // next: number += 1
      'a1007e 257f00 c1e003 83c008 a3087d', // LBA = number % 128 * 8 + 8
      'be007d b80043 8a16f07d cd13', // write it
      '7306 b021 baf803 ee', // failed: say READ_FAILED
      'f606007e0f 7506 b02e baf803 ee', // each 16: say a dot
      'ebc9', // jmp next
    ]
      .join('')
      .replaceAll(' ', ''),
    'hex',
  );
  const sector = Buffer.alloc(SECTOR_BYTES);
  code.copy(sector);
  // What the BIOS is told to read or write: one sector.
  Buffer.from([16, 0, 1, 0]).copy(sector, 0x100);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
