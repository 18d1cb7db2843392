/**
 * Room: formats. Decides from the headers of an image file whether QEMU may see it at all (DESIGN
 * decision 7).
 *
 * I1: the declared format must be what the file is; nothing is probed. A raw disk that begins like a
 *     container of another format is refused: whoever probes it later would open what it names.
 * I2: a file that names another file (backing file, data file, extents, parent) is `hostile_format`; the
 *     one exception is a qcow2 backing file, which is reported for the caller to compare with the layer
 *     that was named. What is recognised and not supported, or damaged, is `unsupported_format`.
 * I3: total: whatever the bytes, the inspector ends in a header or in one of these two codes (or
 *     `too_large`), after bounded reads.
 * I4: it reads by yielding requests, so the same code runs over a file and over bytes in a test.
 */

import type { DiskFormat } from '../domain/disk-format.ts';
import { VmdnError } from '../domain/errors.ts';
import { MAX_DISK_BYTES } from '../domain/limits.ts';
import { SECTOR_BYTES } from '../domain/units.ts';
import type { HeaderInspector, ImageHeader } from './image-bytes.ts';
import { recogniseContainer, unsupported } from './image-bytes.ts';
import { inspectQcow2 } from './image-qcow2.ts';
import { inspectVdi } from './image-vdi.ts';
import { inspectVhdx } from './image-vhdx.ts';
import { inspectVmdk } from './image-vmdk.ts';

/** Inspects a file declared to be `format`. Throws `hostile_format`, `unsupported_format`, `too_large`. */
export function* inspectImage(format: DiskFormat, fileBytes: number): HeaderInspector<ImageHeader> {
  const header = yield* inspectors[format](fileBytes);
  const size = header.virtualSizeBytes;
  if (size !== undefined && size > MAX_DISK_BYTES) {
    throw new VmdnError('too_large', 'A disk larger than 8 TiB is not supported.', {
      data: { virtualSizeBytes: size },
    });
  }
  if (size !== undefined && size % SECTOR_BYTES !== 0) {
    throw unsupported(format, 'its size is no multiple of 512 bytes');
  }
  return header;
}

const inspectors: Readonly<
  Record<DiskFormat, (fileBytes: number) => HeaderInspector<ImageHeader>>
> = {
  raw: inspectRaw,
  qcow2: inspectQcow2,
  vmdk: inspectVmdk,
  vdi: inspectVdi,
  vhdx: inspectVhdx,
};

function* inspectRaw(): HeaderInspector<ImageHeader> {
  const start = yield { offset: 0, length: 2048 };
  const found = recogniseContainer(start);
  if (found !== undefined) {
    const message = `The disk is declared raw and begins like ${found}; declare its real format.`;
    throw new VmdnError('hostile_format', message, { data: { declared: 'raw', found } });
  }
  return { format: 'raw', virtualSizeBytes: undefined, backing: undefined };
}
