/**
 * Room: io, inspect (tests only). Small ext volumes made and changed by e2fsprogs, without mounting: with
 * files, and with one that was written and deleted.
 */

import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FreeRanges } from '../../domain/free-ranges.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import type { DiskReader } from './volumes.ts';

const MIB = 2 ** 20;
const timeoutMs = 60_000;

/** What the deleted file held, again and again; nothing else on the disk has it. */
export const SECRET = Buffer.from('the-file-that-was-deleted/');

export interface ExtDisk {
  readonly path: string;
  readonly offsetBytes: number;
}

/**
 * A disk with one ext volume at `offsetBytes` of it: a folder of files, one of them with odd bytes at its
 * end, and 3 MiB of a deleted one. `mkfs` are options of mke2fs.
 */
export async function makeExtDisk(
  runner: CommandRunner,
  dir: string,
  options: {
    readonly name: string;
    readonly mkfs: readonly string[];
    readonly sizeMiB?: number;
    /** For sfdisk. */
    readonly layout?: string;
    readonly offsetBytes?: number;
  },
): Promise<ExtDisk> {
  const { name, mkfs, sizeMiB = 24, layout, offsetBytes = 0 } = options;
  const path = join(dir, name);
  const root = join(dir, `${name}.root`);
  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(join(root, 'etc', 'hostname'), 'guest\n');
  await writeFile(join(root, 'kept'), seededBytes('kept', 2 * MIB + 5));
  await writeFile(join(root, 'secret'), Buffer.alloc(3 * MIB, SECRET));
  await writeFile(join(root, 'late'), seededBytes('late', MIB));
  const file = await open(path, 'wx');
  await file.truncate(sizeMiB * MIB);
  await file.close();
  if (layout !== undefined) await runner.run('sfdisk', ['-q', path], { timeoutMs, input: layout });
  const where = offsetBytes === 0 ? [] : ['-E', `offset=${offsetBytes}`];
  const blocks = `${Math.floor((sizeMiB * MIB - offsetBytes) / 1024)}k`;
  await runner.run('mke2fs', ['-q', '-F', ...mkfs, ...where, '-d', root, path, blocks], {
    timeoutMs,
  });
  const disk = { path, offsetBytes };
  await debugfs(runner, disk, 'rm /secret');
  return disk;
}

/** Runs commands of debugfs on the volume, for writing; returns what they print. */
export async function debugfs(
  runner: CommandRunner,
  { path, offsetBytes }: ExtDisk,
  ...commands: readonly string[]
): Promise<string> {
  const volume = `${path}?offset=${offsetBytes}`;
  const options = { timeoutMs, input: `${commands.join('\n')}\n` };
  return (await runner.run('debugfs', ['-w', '-f', '-', volume], options)).stdout;
}

/** What `e2fsck -fn` finds; 0: the file system is clean. */
export async function fsck(runner: CommandRunner, { path, offsetBytes }: ExtDisk): Promise<number> {
  const args = ['-fn', `${path}?offset=${offsetBytes}`];
  const options = { timeoutMs, okExitCodes: [0, 4, 8, 12] };
  return (await runner.run('e2fsck', args, options)).exitCode;
}

/** Bytes that dumpe2fs calls free. */
export async function freeBytesByDumpe2fs(
  runner: CommandRunner,
  { path, offsetBytes }: ExtDisk,
): Promise<number> {
  const args = ['-h', `${path}?offset=${offsetBytes}`];
  const { stdout } = await runner.run('dumpe2fs', args, { timeoutMs });
  const number = (field: string): number =>
    Number(new RegExp(`^${field}: +(\\d+)$`, 'm').exec(stdout)?.[1]);
  return number('Free blocks') * number('Block size');
}

export function freeBytesOf(ranges: FreeRanges): number {
  return ranges.reduce((sum, number, i) => sum + (i % 2 === 0 ? 0 : number), 0);
}

/** A disk in memory. */
export function memoryDisk(bytes: Uint8Array): DiskReader {
  return {
    sizeBytes: bytes.length,
    async read(target, offsetBytes) {
      if (offsetBytes + target.length > bytes.length) throw new Error('read past the end');
      target.set(bytes.subarray(offsetBytes, offsetBytes + target.length));
    },
  };
}

export async function diskInMemory({ path }: ExtDisk): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path));
}
