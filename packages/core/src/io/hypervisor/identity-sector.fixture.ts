/**
 * Room: io, hypervisor (tests). A guest that says who it is: a boot sector (BIOS, real mode) that finds its
 * UUID in the SMBIOS tables and the address of each of its virtio network cards in their registers.
 */

const SECTOR_BYTES = 512;
const HEX_LINE = /^[^\r\n]*?([0-9a-f]{32})\n((?:[0-9a-f]{12}\n)*)/m;

/** A disk of some size that boots into it. */
export function identityDisk(sizeBytes: number): Buffer {
  const disk = Buffer.alloc(sizeBytes);
  const code = [
    'fa31c08ed88ed0bc007c', // cli; ds = ss = 0; sp = 0x7c00
    'b800f08ec031ff', // es = 0xf000; di = 0
    '2666813d5f534d5f740583c710ebf1', // until es:[di] is "_SM_": di += 16
    '268b7d18', // di = the table, in the same 64 KiB
    '26803d017413', // walk: a structure of type 1? to system
    '260fb6450101c7', // di += its length
    '26833d008d7d0175f747ebe7', // past its strings: two zeros; to walk
    '83c708b91000e8320031f6', // system: 16 bytes of UUID from di + 8, a line; si = 0
    'b802b1b90010baf41acd1a7220', // card: PCI BIOS, find device 1af4:1000 number si; none: to done
    '46b80ab1bf1000cd1a', // si += 1; its first base address
    '83e1fc67668d5114', // dx = that of its I/O space + 20: the address of the card
    'b90600ece81d0042e2f9', // six bytes
    'e80e00ebd3', // a line; to card
    'f4ebfd', // done: hlt
    '268a0547e80b00e2f7', // cx bytes from es:[di], a line feed
    'b00a52baf803ee5ac3', // put: out 0x3f8, al
    '50c0e804e8030058240f04303c3a72e90427ebe5', // byte: two hexadecimal digits
  ].join('');
  Buffer.from(code, 'hex').copy(disk);
  disk.writeUInt16LE(0xaa55, SECTOR_BYTES - 2);
  return disk;
}

/** What such a guest said of itself; null: not yet. SMBIOS 2.6: the first three fields are little-endian. */
export function saidIdentity(
  consoleLog: string,
  cards: number,
): { readonly uuid: string; readonly macs: readonly string[] } | null {
  const match = HEX_LINE.exec(consoleLog.replaceAll('\r', ''));
  const lines = match?.[2]?.trim().split('\n') ?? [];
  if (match === null || lines.length < cards) return null;
  const bytes = match[1]!.match(/../g)!;
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6].map((at) => bytes[at]).concat(bytes.slice(8));
  const uuid = swapped.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return { uuid, macs: lines.map((line) => line.match(/../g)!.join(':')) };
}
