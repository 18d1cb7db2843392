import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { usesOf } from './disk-uses.ts';

const MIB = 2 ** 20;
const BLOCK = 4096;
const START_BLOCK = MIB / BLOCK;
const DISK_MIB = 64;
const timeoutMs = 60_000;
const options = { runner: createCommandRunner(), signal: new AbortController().signal };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-uses-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** A disk with one partition at 1 MiB, ext4, with these files of one block each. */
async function diskWith(name: string, layout: string, paths: readonly string[]): Promise<string> {
  const [rawPath, tree] = [join(folder, name), join(folder, `${name}.tree`)];
  for (const path of paths) {
    await mkdir(join(tree, path, '..'), { recursive: true });
    await writeFile(join(tree, path), Buffer.alloc(BLOCK, path));
  }
  const file = await open(rawPath, 'w');
  await file.truncate(DISK_MIB * MIB);
  await file.close();
  await options.runner.run('sfdisk', ['-q', rawPath], { timeoutMs, input: layout });
  const where = ['-b', '4096', '-E', `offset=${MIB}`, '-d', tree];
  const size = String(((DISK_MIB - 1) * MIB) / BLOCK);
  await options.runner.run('mke2fs', ['-q', '-F', '-t', 'ext4', ...where, rawPath, size], {
    timeoutMs,
  });
  return rawPath;
}

/** The block of the disk that holds a file. */
async function blockOf(rawPath: string, path: string): Promise<number> {
  const args = ['-R', `blocks ${path}`, `${rawPath}?offset=${MIB}`];
  const { stdout } = await options.runner.run('debugfs', args, { timeoutMs });
  return START_BLOCK + Number(stdout.trim());
}

const PATHS = {
  '/boot/initrd.img-6.1': 'initrd',
  '/boot/vmlinuz-6.1': 'kernel and boot loader',
  '/var/tmp/left': 'folders that both runs leave out',
  '/usr/bin/tool': 'files below /usr and /lib',
  '/usr2/file': 'other files',
  '/var/lib/data': 'other files',
} as const;

test('I1: every block has one use: by its file, and as metadata, free space or boot loader', async () => {
  const rawPath = await diskWith('disk', 'start=2048, type=83\n', Object.keys(PATHS));
  const blocks = await Promise.all(Object.keys(PATHS).map((path) => blockOf(rawPath, path)));
  const [superblock, last] = [START_BLOCK, (DISK_MIB * MIB) / BLOCK - 1];
  const uses = await usesOf(options, { name: 'disk', rawPath }, [0, superblock, ...blocks, last]);
  expect(uses).toEqual([
    ...['kernel and boot loader', 'file-system metadata'],
    ...Object.values(PATHS),
    'free space',
  ]);
});

test('more blocks than one request of debugfs takes are all found', async () => {
  const rawPath = await diskWith('many', 'start=2048, type=83\n', ['/var/lib/data']);
  const blocks = Array.from({ length: 9000 }, (_, i) => START_BLOCK + i);
  const uses = await usesOf(options, { name: 'many', rawPath }, blocks);
  expect(uses).toHaveLength(9000);
  const data = await blockOf(rawPath, '/var/lib/data');
  expect(uses[data - START_BLOCK]).toBe('other files');
  expect(uses.filter((use) => use === 'other files')).toHaveLength(1);
});

test('a disk with two partitions is refused', async () => {
  const layout = 'start=2048, size=8192, type=83\ntype=83\n';
  const rawPath = await diskWith('two', layout, ['/etc/hostname']);
  await expect(usesOf(options, { name: 'two', rawPath }, [0])).rejects.toThrow(/not one partition/);
});
