/**
 * Room: formats. What the inspectors of image headers share: how they read, their two errors, signatures.
 * formats/image-header.ts says what they are for.
 */

import type { DiskFormat } from '../domain/disk-format.ts';
import { VmdnError } from '../domain/errors.ts';

/** A request for bytes of the file. The answer is shorter only where the file ends. */
export interface HeaderRead {
  readonly offset: number;
  readonly length: number;
}

/** An inspector: yields reads, is resumed with their bytes. `fileBytes` is the size of the file. */
export type HeaderInspector<Result> = Generator<HeaderRead, Result, Uint8Array>;

/** What a qcow2 header says of its backing file, word for word. */
export interface BackingReference {
  readonly name: string;
  /** The format that the header records, if any. */
  readonly format: string | undefined;
}

export interface ImageHeader {
  readonly format: DiskFormat;
  /** Undefined for raw: there it is the file's size. */
  readonly virtualSizeBytes: number | undefined;
  readonly backing: BackingReference | undefined;
}

/** First bytes of the containers that a raw disk must not look like, and of those we do not read. */
const SIGNATURES: readonly { readonly name: string; readonly at: number; readonly text: string }[] =
  [
    { name: 'qcow', at: 0, text: 'QFI\xfb' },
    { name: 'qed', at: 0, text: 'QED\0' },
    { name: 'vmdk', at: 0, text: 'KDMV' },
    { name: 'vmdk', at: 0, text: 'COWD' },
    { name: 'vmdk', at: 0, text: '# Disk DescriptorFile' },
    { name: 'vhdx', at: 0, text: 'vhdxfile' },
    { name: 'vhd', at: 0, text: 'conectix' },
    { name: 'vdi', at: 64, text: '\x7f\x10\xda\xbe' },
    { name: 'parallels', at: 0, text: 'WithoutFreeSpace' },
    { name: 'parallels', at: 0, text: 'WithouFreSpacExt' },
    { name: 'bochs', at: 0, text: 'Bochs Virtual HD Image' },
    { name: 'cloop', at: 0, text: '#!/bin/sh\n#V2.0 Format\nmodprobe cloop' },
  ];

/** What QEMU's vmdk driver skips before "# Disk DescriptorFile": comments and empty lines. */
const DESCRIPTOR_TEXT = /^(?:[ \t]*(?:#[^\n]*)?\r?\n)*version=\d/;

/** The name of the container format that `start` (the file's first bytes) begins, if it begins one. */
export function recogniseContainer(start: Uint8Array): string | undefined {
  for (const { name, at, text } of SIGNATURES) if (hasText(start, at, text)) return name;
  return DESCRIPTOR_TEXT.test(latin1(start)) ? 'vmdk' : undefined;
}

/** Whether the bytes at `at` spell `text` (one byte a character). */
export function hasText(bytes: Uint8Array, at: number, text: string): boolean {
  if (bytes.length < at + text.length) return false;
  for (let i = 0; i < text.length; i += 1) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Bytes as a string, one character each. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** A 64-bit size or offset as a number; what a double cannot hold is beyond every limit of ours. */
export function toNumber(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}

/** The error for a file that points outside itself. */
export function hostile(format: string, what: string): VmdnError {
  const message = `The ${format} image is refused: ${what}.`;
  return new VmdnError('hostile_format', message, { data: { format, what } });
}

/** The error for a file that is not what was declared, is damaged, or has features that we do not read. */
export function unsupported(format: string, what: string): VmdnError {
  const message = `The ${format} image cannot be used (${what}); convert it with qemu-img first.`;
  return new VmdnError('unsupported_format', message, { data: { format, what } });
}
