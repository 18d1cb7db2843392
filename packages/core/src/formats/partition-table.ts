/**
 * Room: formats. Partition tables: MBR with its logical partitions, and GPT (UEFI 2.10, chapter 5).
 *
 * I1: total: any bytes give a table or null. A partition that does not lie within the disk is left out.
 * I2: bounded: at most 4 primary and LOGICAL_MAX logical partitions, GPT_ENTRIES_MAX entries.
 * I3: a GPT counts only when the CRC-32 of its header and of its entries are right.
 */

import { crc32 } from 'node:zlib';
import { SECTOR_BYTES } from '../domain/units.ts';

export interface Partition {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** What the table says that it is for; absent for everything else. */
  readonly role?: PartitionRole;
}

/** Linux swap, an EFI system partition, or room for a boot loader that BIOS starts from a GPT. */
export type PartitionRole = 'swap' | 'efi' | 'bios-boot';

/** Linux's own limit for logical partitions is far above; nobody has more than a dozen. */
export const LOGICAL_MAX = 64;
/** UEFI asks for room for 128. */
const GPT_ENTRIES_MAX = 1024;
const GPT_ENTRY_BYTES_MAX = 512;
const GPT_SIGNATURE = 'EFI PART';
const GPT_PROTECTIVE = 0xee;
/** Before the disk signature. */
const BOOT_CODE_BYTES = 440;
const EXTENDED_TYPES: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);
const ROLE_OF_TYPE: ReadonlyMap<number, PartitionRole> = new Map([
  [0x82, 'swap'],
  [0xef, 'efi'],
]);
/**
 * As they lie on the disk: 0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, C12A7328-F81F-11D2-BA4B-00A0C93EC93B and
 * 21686148-6449-6E6F-744E-656564454649 (UEFI 2.10, 5.3.3; the Discoverable Partitions Specification; GRUB
 * manual, 3.4).
 */
const ROLE_OF_GUID: readonly (readonly [low: bigint, high: bigint, PartitionRole])[] = [
  [0x43c4a4ab0657fd6dn, 0x4f4f4bc8_3309e584n, 'swap'],
  [0x11d2f81fc12a7328n, 0x3bc93ec9_a0004bban, 'efi'],
  [0x6e6f6449_21686148n, 0x49464564_65654e74n, 'bios-boot'],
];

/** A partition in sectors. */
interface SectorRange {
  readonly start: number;
  readonly count: number;
  readonly role?: PartitionRole | undefined;
}

/** What the sector at the start of a disk, or of an extended partition, says. Numbers are sectors. */
export interface MbrSector {
  readonly isProtective: boolean;
  /** Whether it begins with code, as a boot sector that BIOS is to start does. */
  readonly hasBootCode: boolean;
  readonly partitions: readonly SectorRange[];
  /** Start of the first extended partition (from the start of the disk, or of the outermost one). */
  readonly extendedStart: number | null;
}

/** Reads a boot sector; null without the 0x55AA signature or with nonsense in it. */
export function parseMbrSector(sector: Uint8Array): MbrSector | null {
  if (sector.length < SECTOR_BYTES || sector[510] !== 0x55 || sector[511] !== 0xaa) return null;
  const view = new DataView(sector.buffer, sector.byteOffset, sector.length);
  const partitions: SectorRange[] = [];
  let extendedStart: number | null = null;
  let isProtective = false;
  for (let at = 446; at < 510; at += 16) {
    const status = sector[at]!;
    const type = sector[at + 4]!;
    // A file system's own boot code stands here on an unpartitioned disk: it fails this check.
    if (status !== 0 && status !== 0x80) return null;
    const [start, count] = [view.getUint32(at + 8, true), view.getUint32(at + 12, true)];
    if (type === 0 || count === 0) continue;
    if (type === GPT_PROTECTIVE) isProtective = true;
    else if (EXTENDED_TYPES.has(type)) extendedStart ??= start;
    else partitions.push({ start, count, role: ROLE_OF_TYPE.get(type) });
  }
  const hasBootCode = sector.subarray(0, BOOT_CODE_BYTES).some((byte) => byte !== 0);
  return { isProtective, hasBootCode, partitions, extendedStart };
}

/** Sectors to a partition within the disk; null when it sticks out or is empty. */
export function partitionAt(
  { start, count, role }: SectorRange,
  diskBytes: number,
): Partition | null {
  const offsetBytes = start * SECTOR_BYTES;
  const lengthBytes = count * SECTOR_BYTES;
  const isInside = start > 0 && count > 0 && offsetBytes + lengthBytes <= diskBytes;
  return isInside ? { offsetBytes, lengthBytes, ...(role && { role }) } : null;
}

/** Where a GPT's entries lie and what they must hash to. */
export interface GptHeader {
  readonly entriesOffsetBytes: number;
  readonly entriesBytes: number;
  readonly entryBytes: number;
  readonly entriesCrc32: number;
}

/** Reads a GPT header from its sector; null when there is none or it is damaged. */
export function parseGptHeader(sector: Uint8Array): GptHeader | null {
  if (sector.length < SECTOR_BYTES) return null;
  for (let i = 0; i < GPT_SIGNATURE.length; i += 1) {
    if (sector[i] !== GPT_SIGNATURE.charCodeAt(i)) return null;
  }
  const view = new DataView(sector.buffer, sector.byteOffset, SECTOR_BYTES);
  const headerBytes = view.getUint32(12, true);
  if (headerBytes < 92 || headerBytes > SECTOR_BYTES) return null;
  const unsigned = sector.slice(0, headerBytes);
  unsigned.fill(0, 16, 20);
  if (crc32(unsigned) !== view.getUint32(16, true)) return null;
  const entriesOffset = view.getBigUint64(72, true) * BigInt(SECTOR_BYTES);
  const [count, entryBytes] = [view.getUint32(80, true), view.getUint32(84, true)];
  const isSane =
    count <= GPT_ENTRIES_MAX &&
    entryBytes >= 128 &&
    entryBytes <= GPT_ENTRY_BYTES_MAX &&
    entriesOffset <= BigInt(Number.MAX_SAFE_INTEGER);
  if (!isSane) return null;
  return {
    entriesOffsetBytes: Number(entriesOffset),
    entriesBytes: count * entryBytes,
    entryBytes,
    entriesCrc32: view.getUint32(88, true),
  };
}

/** Reads the entries that a header speaks of; null when they are damaged. */
export function parseGptEntries(
  bytes: Uint8Array,
  header: GptHeader,
  diskBytes: number,
): Partition[] | null {
  if (bytes.length !== header.entriesBytes || crc32(bytes) !== header.entriesCrc32) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const partitions: Partition[] = [];
  for (let at = 0; at < bytes.length; at += header.entryBytes) {
    const type = [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)] as const;
    if (type[0] === 0n && type[1] === 0n) continue;
    const role = ROLE_OF_GUID.find(([low, high]) => type[0] === low && type[1] === high)?.[2];
    const first = Number(view.getBigUint64(at + 32, true));
    const last = Number(view.getBigUint64(at + 40, true));
    const range = { start: first, count: last - first + 1, role };
    const partition = partitionAt(range, diskBytes);
    if (partition !== null) partitions.push(partition);
  }
  return partitions;
}
