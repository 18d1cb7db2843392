/**
 * Room: infra, lab. Proof that two disks are the same, by programs that are not ours: qemu-img,
 * qemu-nbd with nbdcopy, sha256sum, zstd.
 *
 * I1: every read goes through QEMU, which takes its lock on the file: a disk that somebody writes
 *     is refused, never read half-way.
 * I2: equal means equal virtual sizes (qemu-img compare calls disks of different sizes identical),
 *     equal by qemu-img compare, and one SHA-256 over the guest-visible bytes of each.
 */

import { pipeTools, runTool, type ToolOptions } from './tools.ts';

/** A disk in a file. */
export interface DiskFile {
  readonly path: string;
  readonly format: string;
}

export interface DiskComparison {
  readonly virtualSizeBytes: { readonly source: number; readonly delivered: number };
  readonly compare: string;
  readonly sha256: { readonly source: string; readonly delivered: string };
  readonly isEqual: boolean;
}

/** 1 GiB takes seconds; emulated guests on the same two cores make it slower. */
const OPTIONS: ToolOptions = { timeoutMs: 300_000 };

type Argv = [string, ...string[]];

/** Prints a disk's guest-visible bytes: a read-only export that lives as long as the copy. */
function printBytes({ path, format }: DiskFile): Argv {
  return [
    'nbdcopy',
    '--',
    '[',
    'qemu-nbd',
    '--read-only',
    `--format=${format}`,
    '--',
    path,
    ']',
    '-',
  ];
}

/** Size as the guest sees it. */
export async function virtualSizeBytes(disk: DiskFile): Promise<number> {
  const argv: Argv = ['qemu-img', 'info', '--output=json', '-f', disk.format, '--', disk.path];
  const info = JSON.parse(await runTool(argv, OPTIONS)) as Record<string, unknown>;
  return Number(info['virtual-size']);
}

/** SHA-256 of the guest-visible bytes, holes included, in hexadecimal. */
export async function guestVisibleSha256(disk: DiskFile): Promise<string> {
  const printed = await pipeTools(printBytes(disk), ['sha256sum', '--binary'], OPTIONS);
  return printed.split(' ')[0] ?? '';
}

/** What a copy of the whole disk would cost on the wire: its bytes through `zstd -3`. */
export async function wholeCopyBytes(disk: DiskFile): Promise<number> {
  const counted = ['bash', '-c', 'set -o pipefail; zstd -3 -q -c | wc -c'] as const;
  const bytes = Number(await pipeTools(printBytes(disk), counted, OPTIONS));
  if (!Number.isSafeInteger(bytes) || bytes === 0)
    throw new Error(`zstd of ${disk.path} gave no size.`);
  return bytes;
}

/** `qemu-img compare`: what it says, and whether it says that they are identical. */
async function compare(
  source: DiskFile,
  delivered: DiskFile,
): Promise<{ words: string; isEqual: boolean }> {
  const formats = ['-f', source.format, '-F', delivered.format];
  try {
    const words = await runTool(
      ['qemu-img', 'compare', ...formats, '--', source.path, delivered.path],
      OPTIONS,
    );
    return { words: words.trim(), isEqual: true };
  } catch (error) {
    return { words: error instanceof Error ? error.message : String(error), isEqual: false };
  }
}

/** Compares a delivered disk with its source in three independent ways (I2). */
export async function compareDisks(source: DiskFile, delivered: DiskFile): Promise<DiskComparison> {
  const sizes = {
    source: await virtualSizeBytes(source),
    delivered: await virtualSizeBytes(delivered),
  };
  const { words, isEqual } = await compare(source, delivered);
  const sha256 = {
    source: await guestVisibleSha256(source),
    delivered: await guestVisibleSha256(delivered),
  };
  return {
    virtualSizeBytes: sizes,
    compare: words,
    sha256,
    isEqual: isEqual && sizes.source === sizes.delivered && sha256.source === sha256.delivered,
  };
}
