/**
 * Room: formats (tests only). Image files as sparse text, and an inspector run over bytes.
 *
 * The goldens in golden/images/ were written by io/disk-export/inspect-layers.integ.test.ts from files that
 * qemu-img made (run it with VMDN_UPDATE_GOLDEN=1 to write them again).
 */

import { readdirSync, readFileSync } from 'node:fs';
import type { DiskFormat } from '../domain/disk-format.ts';
import type { ImageHeader } from './image-bytes.ts';
import { inspectImage } from './image-header.ts';

const GOLDEN_DIR = new URL('./golden/images/', import.meta.url);
const PIECE_BYTES = 64;

/** A file as lines: its size, then "offset base64" for each piece that is not zero. */
export function toSparseText(file: Uint8Array): string {
  const lines = [`size ${file.length}`];
  for (let at = 0; at < file.length; at += PIECE_BYTES) {
    const piece = Buffer.from(file.subarray(at, at + PIECE_BYTES));
    if (piece.some((byte) => byte !== 0)) lines.push(`${at} ${piece.toString('base64')}`);
  }
  return `${lines.join('\n')}\n`;
}

export function fromSparseText(text: string): Uint8Array {
  const [first, ...lines] = text.trim().split('\n');
  const file = new Uint8Array(Number(first!.split(' ')[1]));
  for (const line of lines) {
    const [at, piece] = line.split(' ');
    file.set(Buffer.from(piece!, 'base64'), Number(at));
  }
  return file;
}

export interface GoldenImage {
  readonly name: string;
  readonly format: DiskFormat;
  readonly file: Uint8Array;
}

/** All goldens: `NAME.FORMAT.txt`. */
export function goldenImages(): GoldenImage[] {
  return readdirSync(GOLDEN_DIR).map((entry) => {
    const [name, format] = entry.split('.');
    const file = fromSparseText(readFileSync(new URL(entry, GOLDEN_DIR), 'utf8'));
    return { name: name!, format: format as DiskFormat, file };
  });
}

/** Where a golden lies. */
export const goldenPath = (name: string, format: DiskFormat): URL =>
  new URL(`${name}.${format}.txt`, GOLDEN_DIR);

/** Runs the inspector over bytes; counts what it reads. */
export function inspectBytes(
  format: DiskFormat,
  file: Uint8Array,
): { header: ImageHeader; readBytes: number } {
  const inspector = inspectImage(format, file.length);
  let readBytes = 0;
  for (let step = inspector.next(); ; ) {
    if (step.done) return { header: step.value, readBytes };
    const { offset, length } = step.value;
    readBytes += length;
    step = inspector.next(file.slice(offset, offset + length));
  }
}
