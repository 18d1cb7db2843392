/**
 * Room: test, bench. Copies the files of a disk's largest Linux partition to a folder. It mounts the
 * partition read-only, which only a benchmark may do, and only with guests that it built itself.
 *
 *     unshare --mount -- node copy-tree.ts DISK FOLDER      as root; DISK is raw
 *
 * I1: the disk is not written: mounted read-only, its journal not replayed.
 */

import { mkdir, rm } from 'node:fs/promises';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';

const TIMEOUT_MS = 600_000;
const SECTOR_BYTES = 512;
/** MBR's type of Linux file systems, GPT's of Linux data and of an x86-64 root. */
const LINUX_TYPES: ReadonlySet<string> = new Set([
  '83',
  '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
  '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709',
]);

interface Partition {
  readonly start: number;
  readonly size: number;
  readonly type: string;
}

const [disk, folder] = process.argv.slice(2);
if (disk === undefined || folder === undefined) throw new TypeError('copy-tree.ts DISK FOLDER');

const runner = createCommandRunner();
const { stdout } = await runner.run('sfdisk', ['--json', '--', disk], { timeoutMs: TIMEOUT_MS });
const table = JSON.parse(stdout) as { partitiontable: { partitions: Partition[] } };
const [root] = table.partitiontable.partitions
  .filter((partition) => LINUX_TYPES.has(partition.type.toUpperCase()))
  .sort((a, b) => b.size - a.size);
if (root === undefined) throw new Error(`${disk} has no Linux partition`);

const mountPoint = `${folder}.mounted`;
await mkdir(mountPoint, { recursive: true });
const place = [`offset=${root.start * SECTOR_BYTES}`, `sizelimit=${root.size * SECTOR_BYTES}`];
const options = ['ro', 'noload', 'nodev', 'nosuid', 'noexec', 'loop', ...place].join(',');
await runner.run('mount', ['-t', 'ext4', '-o', options, '--', disk, mountPoint], {
  timeoutMs: TIMEOUT_MS,
});
try {
  await runner.run('cp', ['-a', '--', `${mountPoint}/.`, folder], { timeoutMs: TIMEOUT_MS });
} finally {
  await runner.run('umount', ['--', mountPoint], { timeoutMs: TIMEOUT_MS });
  await rm(mountPoint, { recursive: true });
}
