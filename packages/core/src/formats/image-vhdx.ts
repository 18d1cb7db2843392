/**
 * Room: formats. The headers of VHDX ([MS-VHDX]; QEMU: block/vhdx.c). Numbers are little-endian.
 *
 * I1: no parent: neither the flag in the file parameters nor a parent locator.
 * I2: no unknown region or metadata item that is required to understand the file.
 * I3: a log that waits to be replayed is refused: reading without replaying it would show an old disk,
 *     and replaying would change the source.
 */

import type { HeaderInspector, ImageHeader } from './image-bytes.ts';
import { hasText, hostile, toNumber, unsupported } from './image-bytes.ts';

const KIB = 1024;
const HEADER_OFFSETS = [64 * KIB, 128 * KIB];
const REGION_OFFSETS = [192 * KIB, 256 * KIB];
const REGION_TABLE_BYTES = 64 * KIB;
const REGIONS_MAX = 2047;
const METADATA_TABLE_BYTES = 64 * KIB;
const ENTRY_BYTES = 32;
const ITEMS_MAX = 1023;
const LOG_GUID_AT = 48;
const HAS_PARENT = 2;
const ITEM_REQUIRED = 4;

const REGION_BAT = '2dc27766-f623-4200-9d64-115e9bfd4a08';
const REGION_METADATA = '8b7ca206-4790-4b9a-b8fe-575f050f886e';
const ITEM_FILE_PARAMETERS = 'caa16737-fa36-4d43-b3b6-33f0aa44e76b';
const ITEM_VIRTUAL_SIZE = '2fa54224-cd1b-4876-b211-5dbed83bf4b8';
const ITEM_PARENT_LOCATOR = 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c';
const KNOWN_ITEMS: readonly string[] = [
  ITEM_FILE_PARAMETERS,
  ITEM_VIRTUAL_SIZE,
  'beca12ab-b2e6-4523-93ef-c309e000c746', // page 83 data
  '8141bf1d-a96f-4709-ba47-f233a8faab5f', // logical sector size
  'cda348c7-445d-4471-9cc9-e9885251c556', // physical sector size
];

/** Inspects a file declared to be vhdx. */
export function* inspectVhdx(): HeaderInspector<ImageHeader> {
  const start = yield { offset: 0, length: 8 };
  if (!hasText(start, 0, 'vhdxfile')) {
    throw unsupported('vhdx', 'it is not vhdx; declare its real format');
  }
  const headers = [];
  for (const offset of HEADER_OFFSETS) headers.push(yield { offset, length: 4 * KIB });
  checkHeaders(headers);
  const tables = [];
  for (const offset of REGION_OFFSETS) tables.push(yield { offset, length: REGION_TABLE_BYTES });
  const metadataAt = findMetadata(tables);
  const table = yield { offset: metadataAt, length: METADATA_TABLE_BYTES };
  const items = parseMetadata(table);

  const parametersAt = items.get(ITEM_FILE_PARAMETERS);
  const sizeAt = items.get(ITEM_VIRTUAL_SIZE);
  if (parametersAt === undefined || sizeAt === undefined) {
    throw unsupported('vhdx', 'its metadata is incomplete');
  }
  const parameters = viewOf(yield { offset: metadataAt + parametersAt, length: 8 }, 8);
  if ((parameters.getUint32(4, true) & HAS_PARENT) !== 0 || items.has(ITEM_PARENT_LOCATOR)) {
    throw hostile('vhdx', 'it is based on another image');
  }
  const size = viewOf(yield { offset: metadataAt + sizeAt, length: 8 }, 8);
  const virtualSizeBytes = toNumber(size.getBigUint64(0, true));
  return { format: 'vhdx', virtualSizeBytes, backing: undefined };
}

/** I3 on the header with the higher sequence number, which is the one in force. */
function checkHeaders(headers: readonly Uint8Array[]): void {
  let current: Uint8Array | undefined;
  let sequence = -1n;
  for (const header of headers) {
    if (header.length < 4 * KIB || !hasText(header, 0, 'head')) continue;
    const found = viewOf(header, 4 * KIB).getBigUint64(8, true);
    if (found > sequence) [current, sequence] = [header, found];
  }
  if (current === undefined) throw unsupported('vhdx', 'it has no header');
  if (viewOf(current, 4 * KIB).getUint16(66, true) !== 1) throw unsupported('vhdx', 'its version');
  if (current.subarray(LOG_GUID_AT, LOG_GUID_AT + 16).some((byte) => byte !== 0)) {
    throw unsupported('vhdx', 'its log was not replayed: the VM did not shut down cleanly');
  }
}

/** Where the metadata region lies, by two region tables that must be the same. */
function findMetadata(tables: readonly Uint8Array[]): number {
  const [first, second] = [tables[0]!, tables[1]!];
  if (first.length < REGION_TABLE_BYTES || !hasText(first, 0, 'regi')) {
    throw unsupported('vhdx', 'it has no region table');
  }
  if (second.length !== first.length || first.some((byte, i) => byte !== second[i])) {
    throw unsupported('vhdx', 'its two region tables differ');
  }
  const view = viewOf(first, REGION_TABLE_BYTES);
  const count = view.getUint32(8, true);
  if (count > REGIONS_MAX) throw unsupported('vhdx', 'too many regions');
  let metadataAt: number | undefined;
  for (let i = 0; i < count; i += 1) {
    const at = 16 + i * ENTRY_BYTES;
    const id = guidAt(first, at);
    if (id === REGION_METADATA) {
      if (metadataAt !== undefined) throw unsupported('vhdx', 'two metadata regions');
      metadataAt = toNumber(view.getBigUint64(at + 16, true));
    } else if (id !== REGION_BAT && (view.getUint32(at + 28, true) & 1) !== 0) {
      throw unsupported('vhdx', 'an unknown region that is required');
    }
  }
  if (metadataAt === undefined || metadataAt > 2 ** 50) throw unsupported('vhdx', 'no metadata');
  return metadataAt;
}

/** The offsets of the metadata items, by id. */
function parseMetadata(table: Uint8Array): Map<string, number> {
  if (table.length < METADATA_TABLE_BYTES || !hasText(table, 0, 'metadata')) {
    throw unsupported('vhdx', 'it has no metadata table');
  }
  const view = viewOf(table, METADATA_TABLE_BYTES);
  const count = view.getUint16(10, true);
  if (count > ITEMS_MAX) throw unsupported('vhdx', 'too many metadata items');
  const items = new Map<string, number>();
  for (let i = 0; i < count; i += 1) {
    const at = 32 + i * ENTRY_BYTES;
    const id = guidAt(table, at);
    const isRequired = (view.getUint32(at + 24, true) & ITEM_REQUIRED) !== 0;
    if (id === ITEM_PARENT_LOCATOR) throw hostile('vhdx', 'it is based on another image');
    if (!KNOWN_ITEMS.includes(id) && isRequired) {
      throw unsupported('vhdx', 'an unknown metadata item that is required');
    }
    if (items.has(id)) throw unsupported('vhdx', 'a metadata item twice');
    items.set(id, view.getUint32(at + 16, true));
  }
  return items;
}

/** A GUID in its usual spelling: three little-endian numbers, then eight bytes. */
function guidAt(bytes: Uint8Array, at: number): string {
  const order = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15];
  return order.map((i) => (i < 0 ? '-' : bytes[at + i]!.toString(16).padStart(2, '0'))).join('');
}

function viewOf(bytes: Uint8Array, length: number): DataView {
  if (bytes.length < length) throw unsupported('vhdx', 'it is truncated');
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
