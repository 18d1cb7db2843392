/**
 * Room: io, disk-export. Checks the headers of a disk's files before QEMU sees them
 * (formats/image-header.ts).
 *
 * I1: a qcow2 header names a backing file exactly when a next layer was named, and both are the same file
 *     with the same format (DESIGN decision 7). The header's name is compared, never followed.
 * I2: reads are plain, bounded and of headers only; openDiskExport proves by fingerprints that the files
 *     did not change between this look and QEMU's.
 */

import { constants, type FileHandle, open, realpath } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { DiskLayer } from '../../domain/disk-format.ts';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_IMAGE_HEADER_BYTES } from '../../domain/limits.ts';
import type { ImageHeader } from '../../formats/image-bytes.ts';
import { inspectImage } from '../../formats/image-header.ts';
import { fileError } from '../files/files.ts';

/** A backing file's name that is a plain path: no protocol ("nbd:"), no "json:", no fancy. */
const PLAIN_PATH = /^(?:[^:]*|\.{0,2}\/.*)$/s;

/**
 * Inspects all layers (the disk first) and compares each header with the layer below it. Returns the
 * headers in order. Throws `hostile_format`, `unsupported_format`, `too_large`, `not_found`, `forbidden`.
 */
export async function inspectLayers(layers: readonly DiskLayer[]): Promise<ImageHeader[]> {
  const headers: ImageHeader[] = [];
  for (const [i, layer] of layers.entries()) {
    const header = await inspectFile(layer);
    await checkBacking(layer, header, layers[i + 1]);
    headers.push(header);
  }
  return headers;
}

/** Inspects one file by itself; a backing file that it names is in the result, for the caller to judge. */
export async function inspectFile({ path, format }: DiskLayer): Promise<ImageHeader> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const inspector = inspectImage(format, (await file.stat()).size);
      let readBytes = 0;
      for (let step = inspector.next(); ; ) {
        if (step.done) return step.value;
        const { offset, length } = step.value;
        readBytes += length;
        if (readBytes > MAX_IMAGE_HEADER_BYTES) {
          throw new VmdnError('unsupported_format', `${path} has a header that is too large.`);
        }
        step = inspector.next(await readAt(file, offset, length));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, path);
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

async function checkBacking(
  layer: DiskLayer,
  header: ImageHeader,
  below: DiskLayer | undefined,
): Promise<void> {
  const { backing } = header;
  if (backing === undefined && below === undefined) return;
  const data = { path: layer.path, header: backing?.name ?? null, named: below?.path ?? null };
  if (below === undefined) {
    const message = `${layer.path} has a backing file that nobody named; name every layer of the disk.`;
    throw new VmdnError('hostile_format', message, { data });
  }
  if (backing === undefined) {
    const message = `${layer.path} has no backing file, but ${below.path} was named as one.`;
    throw new VmdnError('hostile_format', message, { data });
  }
  const isSameFile =
    PLAIN_PATH.test(backing.name) &&
    (await isSamePath(resolve(dirname(layer.path), backing.name), below.path));
  const isSameFormat = backing.format === undefined || backing.format === below.format;
  if (isSameFile && isSameFormat) return;
  const message = `The backing file in the header of ${layer.path} is not the one that was named.`;
  throw new VmdnError('hostile_format', message, { data: { ...data, format: backing.format } });
}

/** Whether two paths are one file. The first comes from a header: that it does not exist is an answer. */
async function isSamePath(fromHeader: string, named: string): Promise<boolean> {
  const found = await realpath(fromHeader).catch(() => undefined);
  return found !== undefined && found === (await realpath(named));
}
