/**
 * Room: formats. The header of qcow2 (QEMU: docs/interop/qcow2.txt). Numbers are big-endian.
 *
 * I1: of the incompatible features only dirty, compression type and extended L2 entries are let through;
 *     a corrupt mark, an external data file and anything unknown are refused.
 * I2: no encryption; no external data file by extension either.
 */

import type { BackingReference, HeaderInspector, ImageHeader } from './image-bytes.ts';
import { hasText, hostile, latin1, toNumber, unsupported } from './image-bytes.ts';

const DIRTY = 1n << 0n;
const CORRUPT = 1n << 1n;
const DATA_FILE = 1n << 2n;
const COMPRESSION_TYPE = 1n << 3n;
const EXTENDED_L2 = 1n << 4n;
const ALLOWED = DIRTY | COMPRESSION_TYPE | EXTENDED_L2;

const V2_HEADER_BYTES = 72;
const V3_HEADER_BYTES = 104;
const NAME_BYTES_MAX = 1023;
const EXTENSIONS_MAX = 64;

const EXTENSION_END = 0;
const EXTENSION_BACKING_FORMAT = 0xe2792aca;
const EXTENSION_ENCRYPTION = 0x0537be77;
const EXTENSION_DATA_FILE = 0x44415441;

/** Inspects a file declared to be qcow2. */
export function* inspectQcow2(): HeaderInspector<ImageHeader> {
  const start = yield { offset: 0, length: 65_536 };
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  if (!hasText(start, 0, 'QFI\xfb') || start.length < V2_HEADER_BYTES) {
    throw unsupported('qcow2', 'it is not qcow2; declare its real format');
  }
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw unsupported('qcow2', `version ${version}`);
  if (view.getUint32(32) !== 0) throw unsupported('qcow2', 'it is encrypted');
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) throw unsupported('qcow2', 'a senseless cluster size');
  const headerBytes = version === 2 ? V2_HEADER_BYTES : checkFeatures(view, start.length);

  const nameOffset = toNumber(view.getBigUint64(8));
  const nameBytes = view.getUint32(16);
  // Extensions end at their end mark, the backing file's name or the first cluster's end.
  const cluster = 2 ** clusterBits;
  const end = Math.min(nameOffset === 0 ? cluster : nameOffset, cluster, start.length);
  const backingFormat = checkExtensions(start, headerBytes, end);
  const backing = readBacking(start, nameOffset, nameBytes, cluster, backingFormat);
  return { format: 'qcow2', virtualSizeBytes: toNumber(view.getBigUint64(24)), backing };
}

/** Checks the feature bits of version 3. Returns the header's length. */
function checkFeatures(view: DataView, available: number): number {
  if (available < V3_HEADER_BYTES) throw unsupported('qcow2', 'a truncated header');
  const features = view.getBigUint64(72);
  if ((features & DATA_FILE) !== 0n) throw hostile('qcow2', 'its data lies in another file');
  if ((features & CORRUPT) !== 0n) {
    throw unsupported('qcow2', 'it is marked corrupt; repair it with qemu-img check -r all');
  }
  if ((features & ~ALLOWED) !== 0n) {
    throw unsupported('qcow2', `unknown incompatible features 0x${features.toString(16)}`);
  }
  const headerBytes = view.getUint32(100);
  if (headerBytes < V3_HEADER_BYTES || headerBytes % 8 !== 0 || headerBytes > available) {
    throw unsupported('qcow2', 'a senseless header length');
  }
  return headerBytes;
}

/** Walks the header extensions in [at, end). Returns the recorded backing format, if any. */
function checkExtensions(bytes: Uint8Array, from: number, end: number): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let format: string | undefined;
  let at = from;
  for (let i = 0; i < EXTENSIONS_MAX; i += 1) {
    if (at + 8 > end) return format;
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXTENSION_END) return format;
    if (type === EXTENSION_DATA_FILE) throw hostile('qcow2', 'it names a file for its data');
    if (type === EXTENSION_ENCRYPTION) throw unsupported('qcow2', 'it is encrypted');
    if (at + 8 + length > end) throw unsupported('qcow2', 'a header extension beyond its end');
    if (type === EXTENSION_BACKING_FORMAT) {
      format = latin1(bytes.subarray(at + 8, at + 8 + Math.min(length, 64)));
    }
    at += 8 + Math.ceil(length / 8) * 8;
  }
  throw unsupported('qcow2', 'too many header extensions');
}

function readBacking(
  bytes: Uint8Array,
  offset: number,
  length: number,
  cluster: number,
  format: string | undefined,
): BackingReference | undefined {
  if (offset === 0) return undefined;
  const isInside = offset + length <= Math.min(cluster, bytes.length);
  if (length === 0 || length > NAME_BYTES_MAX || !isInside) {
    throw hostile('qcow2', 'it names a backing file outside its header');
  }
  const name = new TextDecoder().decode(bytes.subarray(offset, offset + length));
  if (name.includes('\0')) throw hostile('qcow2', 'its backing file has a senseless name');
  return { name, format };
}
