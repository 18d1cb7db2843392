/**
 * Room: formats. What else a volume may be than what its superblock says: signatures of file systems, volume
 * managers, encryption and RAID that can lie beside a stale ext superblock or swap header.
 *
 * I1: total: any bytes give names. A volume with more than one of them is nobody's to judge.
 */

/** How much of the start of a volume is looked at; fewer bytes of a shorter one. */
export const VOLUME_HEAD_BYTES = 256 * 1024;

interface Signature {
  readonly name: string;
  readonly at: readonly number[];
  readonly bytes: readonly number[];
}

function text(name: string, at: number | readonly number[], words: string): Signature {
  const offsets = typeof at === 'number' ? [at] : at;
  return { name, at: offsets, bytes: [...words].map((letter) => letter.charCodeAt(0)) };
}

const SECTORS = [0, 512, 1024, 1536];
/** Slots of ZFS's ring of uberblocks in the first label. */
const UBERBLOCKS = Array.from({ length: 128 }, (_, slot) => 131_072 + slot * 1024);

/** As libblkid knows them (util-linux, libblkid/src/superblocks). Swap and ext are not among them. */
const SIGNATURES: readonly Signature[] = [
  text('XFS', 0, 'XFSB'),
  text('Btrfs', 65_536 + 64, '_BHRfS_M'),
  text('LUKS', 0, 'LUKS\xba\xbe'),
  text('BitLocker', 3, '-FVE-FS-'),
  text('LVM', SECTORS, 'LABELONE'),
  text('NTFS', 3, 'NTFS    '),
  text('exFAT', 3, 'EXFAT   '),
  text('FAT', [54, 82], 'FAT'),
  text('ISO 9660', 32_769, 'CD001'),
  text('SquashFS', 0, 'hsqs'),
  text('JFS', 32_768, 'JFS1'),
  text('ReiserFS', [8192 + 52, 65_536 + 52], 'ReIsEr'),
  text('HFS', 1024, 'H+\x00\x04'),
  text('OCFS2', [1024, 2048, 4096, 8192], 'OCFSV2'),
  text('Stratis', [512 + 4, 9 * 512 + 4], '!Stra0tis'),
  text('BlueStore', 0, 'bluestore block device'),
  text('Oracle ASM', 32, 'ORCLDISK'),
  text('VDO', 0, 'dmvdo001'),
  text('dm-integrity', 0, 'integrt'),
  { name: 'GFS2', at: [65_536], bytes: [0x01, 0x16, 0x19, 0x70] },
  { name: 'F2FS', at: [1024], bytes: [0x10, 0x20, 0xf5, 0xf2] },
  { name: 'EROFS', at: [1024], bytes: [0xe2, 0xe1, 0xf5, 0xe0] },
  { name: 'MD RAID', at: [0, 4096], bytes: [0xfc, 0x4e, 0x2b, 0xa9] },
  { name: 'bcache', at: [4096 + 24], bytes: [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca] },
  { name: 'ZFS', at: UBERBLOCKS, bytes: [0x0c, 0xb1, 0xba, 0x00] },
  { name: 'ZFS', at: UBERBLOCKS.map((at) => at + 4), bytes: [0x00, 0xba, 0xb1, 0x0c] },
];

/** Names of what else the first VOLUME_HEAD_BYTES of a volume look like; none is the ordinary case. */
export function otherSignatures(head: Uint8Array): string[] {
  const isAt = (bytes: readonly number[], at: number): boolean =>
    bytes.every((byte, i) => head[at + i] === byte);
  return SIGNATURES.filter(({ at, bytes }) => at.some((offset) => isAt(bytes, offset))).map(
    ({ name }) => name,
  );
}
