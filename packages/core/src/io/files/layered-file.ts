/**
 * Room: io, files. An image opened for reading by its guest-visible bytes, however many files it lies in
 * (domain/layers.ts decides). Many reads may be in flight.
 *
 * I1: reading past the end of the disk's own raw file fails; a base that is shorter than the disk reads
 *     as zero there, as under QEMU.
 */

import { readSync } from 'node:fs';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { type ImageLayers, layerSpans, OWN_FILE, ZERO_FILE } from '../../domain/layers.ts';
import { fileError } from './files.ts';

export interface LayeredFile {
  /** Fills `target` from byte `offsetBytes` of the disk on. False when the disk's own file ends before. */
  readInto(target: Uint8Array, offsetBytes: number): Promise<boolean>;
  /** The same for `lengthBytes` from `at` on, in this thread: for few bytes that memory probably has. */
  readNow(target: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): boolean;
  /** Length of the image's own file, and where the disk begins in it. */
  readonly ownBytes: number;
  close(): Promise<void>;
}

/** Opens all files of an image. Throws `not_found`, `forbidden`, `busy`. */
export async function openLayeredFile(layers: ImageLayers): Promise<LayeredFile> {
  const files: FileHandle[] = [];
  const close = async (): Promise<void> => {
    for (const file of files) await file.close();
  };
  try {
    for (const { path } of layers.files) {
      try {
        files.push(await open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
      } catch (error) {
        throw fileError(error, path);
      }
    }
    const ownBytes = (await files[OWN_FILE]!.stat()).size;
    return {
      readInto: (target, offset) => readInto(files, layers, target, offset),
      readNow: (target, at, length, offset) => readNow(files, layers, target, at, length, offset),
      ownBytes,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readInto(
  files: readonly FileHandle[],
  layers: ImageLayers,
  target: Uint8Array,
  offsetBytes: number,
): Promise<boolean> {
  let at = 0;
  for (const { file, positionBytes, lengthBytes } of layerSpans(
    layers,
    offsetBytes,
    target.length,
  )) {
    const part = target.subarray(at, at + lengthBytes);
    const filled = file === ZERO_FILE ? 0 : await fill(files[file]!, part, positionBytes);
    if (file === OWN_FILE && filled < lengthBytes) return false;
    part.fill(0, filled);
    at += lengthBytes;
  }
  return true;
}

function readNow(
  files: readonly FileHandle[],
  layers: ImageLayers,
  target: Uint8Array,
  at: number,
  lengthBytes: number,
  offsetBytes: number,
): boolean {
  if (layers.fileOfSegment === null) {
    const position = layers.files[OWN_FILE]!.offsetBytes + offsetBytes;
    return fillNow(files[OWN_FILE]!, target, at, lengthBytes, position) === lengthBytes;
  }
  let to = at;
  for (const span of layerSpans(layers, offsetBytes, lengthBytes)) {
    const { file, positionBytes } = span;
    const filled =
      file === ZERO_FILE ? 0 : fillNow(files[file]!, target, to, span.lengthBytes, positionBytes);
    if (file === OWN_FILE && filled < span.lengthBytes) return false;
    target.fill(0, to + filled, to + span.lengthBytes);
    to += span.lengthBytes;
  }
  return true;
}

/** As `fill`. */
function fillNow(
  file: FileHandle,
  target: Uint8Array,
  at: number,
  lengthBytes: number,
  positionBytes: number,
): number {
  let filled = 0;
  while (filled < lengthBytes) {
    const left = lengthBytes - filled;
    const count = readSync(file.fd, target, at + filled, left, positionBytes + filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
}

/** Reads until `target` is full or the file ends. Returns how many bytes came. */
async function fill(file: FileHandle, target: Uint8Array, positionBytes: number): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const left = target.length - filled;
    const { bytesRead } = await file.read(target, filled, left, positionBytes + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
