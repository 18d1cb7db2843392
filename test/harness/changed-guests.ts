/**
 * Room: test, harness. A guest of the builder with something else on its disk: what a test needs and no
 * builder would make. By debugfs, so that nothing is mounted.
 */

import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { copySparse, type Guest } from '@vmdn/infra/lab/guests.ts';

/** Where the only file system of a Debian guest begins (infra/guests: guest_start_sector). */
const VOLUME_OFFSET = 2 ** 20;
const BLOCK_BYTES = 4096;
const DEBUGFS_MS_MAX = 120_000;

const runner = createCommandRunner();

/** Runs lines of debugfs on the volume of a raw disk; what they print. */
export async function debugfs(path: string, ...lines: readonly string[]): Promise<string> {
  const args = ['-w', '-f', '-', `${path}?offset=${VOLUME_OFFSET}`];
  const input = `${lines.join('\n')}\n`;
  return (await runner.run('debugfs', args, { timeoutMs: DEBUGFS_MS_MAX, input })).stdout;
}

/** Copies a guest's raw disk to `path`, changed by lines of debugfs. */
export async function changeGuest(
  guest: Guest,
  path: string,
  ...lines: readonly string[]
): Promise<void> {
  await copySparse(guest.disk.path, path);
  await debugfs(path, ...lines);
}

/**
 * Lines of debugfs that put the file `from` of this machine in the place of a program; that stays as
 * PATH.real.
 */
export function replaceProgram(path: string, from: string): string[] {
  return [
    `ln ${path} ${path}.real`,
    `unlink ${path}`,
    `write ${from} ${path}`,
    `sif ${path} mode 0100755`,
  ];
}

/** Removes all files below a folder, and what they held from the disk; returns how many bytes that were. */
export async function removeFiles(path: string, folder: string): Promise<number> {
  const files = await filesBelow(path, folder);
  // A line of numbers for each; beside its data, what says where that lies.
  const text = await debugfs(path, ...files.map((file) => `blocks ${file}`));
  const blocks = [...text.matchAll(/^[0-9 ]+$/gm)].flatMap(([line]) => line.trim().split(/ +/));
  const zaps = blocks.filter((block) => Number(block) > 0).map((block) => `zap_block ${block}`);
  await debugfs(path, ...files.map((file) => `rm ${file}`), ...zaps);
  return zaps.length * BLOCK_BYTES;
}

async function filesBelow(path: string, folder: string): Promise<string[]> {
  const files: string[] = [];
  const todo = [folder];
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const text = await debugfs(path, `ls -p ${at}`);
    for (const [, mode, name] of text.matchAll(/^\/\d+\/(\d+)\/\d+\/\d+\/([^/]+)\/\d*\/$/gm)) {
      if (mode!.startsWith('10')) files.push(`${at}/${name}`);
      if (mode!.startsWith('04') && !/^\.\.?$/.test(name!)) todo.push(`${at}/${name}`);
    }
  }
  return files;
}
