/**
 * Room: formats. The header of VDI 1.1 (VirtualBox; QEMU: block/vdi.c). Numbers are little-endian.
 *
 * I1: only whole images (dynamic, static): no undo or differencing image, no link to another one.
 */

import type { HeaderInspector, ImageHeader } from './image-bytes.ts';
import { hostile, toNumber, unsupported } from './image-bytes.ts';

const SIGNATURE = 0xbeda107f;
const VERSION_1_1 = 0x0001_0001;
const HEADER_BYTES = 512;
const WHOLE_TYPES = [1, 2];
const LINK_UUID_AT = 0x1a8;
const PARENT_UUID_AT = 0x1b8;
const UUID_BYTES = 16;

/** Inspects a file declared to be vdi. */
export function* inspectVdi(): HeaderInspector<ImageHeader> {
  const start = yield { offset: 0, length: HEADER_BYTES };
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  if (start.length < HEADER_BYTES || view.getUint32(0x40, true) !== SIGNATURE) {
    throw unsupported('vdi', 'it is not vdi; declare its real format');
  }
  if (view.getUint32(0x44, true) !== VERSION_1_1) throw unsupported('vdi', 'its version');
  for (const at of [LINK_UUID_AT, PARENT_UUID_AT]) {
    if (start.subarray(at, at + UUID_BYTES).some((byte) => byte !== 0)) {
      throw hostile('vdi', 'it is based on another image');
    }
  }
  if (!WHOLE_TYPES.includes(view.getUint32(0x4c, true))) {
    throw hostile('vdi', 'it is an undo or differencing image');
  }
  const virtualSizeBytes = toNumber(view.getBigUint64(0x170, true));
  return { format: 'vdi', virtualSizeBytes, backing: undefined };
}
