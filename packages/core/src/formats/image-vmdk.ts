/**
 * Room: formats. The header and embedded descriptor of sparse VMDK (VMware: Virtual Disk Format 5.0; QEMU:
 * block/vmdk.c). Numbers are little-endian.
 *
 * I1: only images whose data lies in the one file: monolithicSparse and streamOptimized. A text descriptor,
 *     or a header without capacity (QEMU then follows the descriptor), names other files and is hostile.
 * I2: no parent: neither a parent CID nor a parent's name anywhere in what QEMU searches for one.
 * I3: a streamOptimized image has a second header at its end, which QEMU believes: it is held to the same.
 */

import type { HeaderInspector, ImageHeader } from './image-bytes.ts';
import {
  hasText,
  hostile,
  latin1,
  recogniseContainer,
  toNumber,
  unsupported,
} from './image-bytes.ts';

const SECTOR = 512;
const HEADER_BYTES = 512;
const VERSION_MAX = 3;
/** The descriptor follows the header at once; QEMU looks for a parent in 20 sectors from there. */
const DESCRIPTOR_SECTOR = 1;
const DESCRIPTOR_SECTORS_MIN = 20;
const DESCRIPTOR_SECTORS_MAX = 2048;
const GRAIN_DIRECTORY_AT_END = 0xffff_ffff_ffff_ffffn;
/** Footer marker, footer, end-of-stream marker: the last three sectors. */
const FOOTER_BYTES = 3 * SECTOR;
const NO_PARENT = 'ffffffff';
const CREATE_TYPES = ['monolithicSparse', 'streamOptimized'];

interface SparseHeader {
  readonly capacitySectors: bigint;
  readonly descriptorSectors: number;
  readonly isDirectoryAtEnd: boolean;
}

/** Inspects a file declared to be vmdk. */
export function* inspectVmdk(fileBytes: number): HeaderInspector<ImageHeader> {
  const start = yield { offset: 0, length: 2048 };
  if (!hasText(start, 0, 'KDMV')) {
    if (hasText(start, 0, 'COWD')) throw unsupported('vmdk', 'an ESX redo log');
    if (recogniseContainer(start) === 'vmdk') throw hostile('vmdk', 'its data lies in other files');
    throw unsupported('vmdk', 'it is not vmdk; declare its real format');
  }
  const header = parseSparseHeader(start.subarray(0, HEADER_BYTES));
  const length = Math.max(DESCRIPTOR_SECTORS_MIN, header.descriptorSectors) * SECTOR;
  checkDescriptor(yield { offset: DESCRIPTOR_SECTOR * SECTOR, length });
  if (header.isDirectoryAtEnd) {
    if (fileBytes < FOOTER_BYTES + HEADER_BYTES || fileBytes % SECTOR !== 0)
      throw unsupported('vmdk', 'it is truncated');
    const footer = yield { offset: fileBytes - FOOTER_BYTES + SECTOR, length: HEADER_BYTES };
    const second = parseSparseHeader(footer);
    if (second.capacitySectors !== header.capacitySectors || second.isDirectoryAtEnd) {
      throw unsupported('vmdk', 'its header and footer disagree');
    }
  }
  const virtualSizeBytes = toNumber(header.capacitySectors * BigInt(SECTOR));
  return { format: 'vmdk', virtualSizeBytes, backing: undefined };
}

function parseSparseHeader(bytes: Uint8Array): SparseHeader {
  if (bytes.length < HEADER_BYTES || !hasText(bytes, 0, 'KDMV')) {
    throw unsupported('vmdk', 'it is truncated');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint32(4, true);
  if (version === 0 || version > VERSION_MAX) throw unsupported('vmdk', `version ${version}`);
  const capacitySectors = view.getBigUint64(12, true);
  if (capacitySectors === 0n) throw hostile('vmdk', 'its data lies in other files');
  const descriptorAt = view.getBigUint64(28, true);
  const descriptorSectors = toNumber(view.getBigUint64(36, true));
  const isDirectoryAtEnd = view.getBigUint64(56, true) === GRAIN_DIRECTORY_AT_END;
  if (descriptorAt !== BigInt(DESCRIPTOR_SECTOR) || descriptorSectors > DESCRIPTOR_SECTORS_MAX) {
    // The footer of a stream need not repeat where the descriptor is.
    if (descriptorAt !== 0n || descriptorSectors !== 0) {
      throw unsupported('vmdk', 'its descriptor is not where it should be');
    }
  }
  return { capacitySectors, descriptorSectors, isDirectoryAtEnd };
}

/** I1, I2 on the descriptor's text. */
function checkDescriptor(bytes: Uint8Array): void {
  const whole = latin1(bytes);
  // Searched beyond the text's end too: QEMU looks in the same sectors.
  if (/parentFileNameHint/i.test(whole)) throw hostile('vmdk', 'it is based on another image');
  const nul = whole.indexOf('\0');
  const text = nul < 0 ? whole : whole.slice(0, nul);
  const parent = /^[ \t]*parentCID[ \t]*=[ \t]*"?([0-9a-fA-F]+)/im.exec(text)?.[1];
  if (parent !== undefined && parent.toLowerCase() !== NO_PARENT) {
    throw hostile('vmdk', 'it is based on another image');
  }
  const createType = /^[ \t]*createType[ \t]*=[ \t]*"([^"\n]*)"/im.exec(text)?.[1];
  if (createType === undefined || !CREATE_TYPES.includes(createType)) {
    throw hostile('vmdk', `its data may lie in other files (type ${createType ?? 'unknown'})`);
  }
  const extents = text.match(/^[ \t]*(?:RW|RDONLY|NOACCESS)[ \t].*$/gim) ?? [];
  if (
    extents.length !== 1 ||
    !/^[ \t]*RW[ \t]+\d+[ \t]+SPARSE[ \t]+"[^"/\\]*"[ \t\r]*$/i.test(extents[0]!)
  ) {
    throw hostile('vmdk', 'its data may lie in other files');
  }
}
