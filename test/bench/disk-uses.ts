/**
 * Room: test, bench. What blocks of a guest's disk are there for: an initial RAM disk, metadata of the file
 * system, free space, files. By sfdisk and e2fsprogs, by nothing of the product but the lists of what the two
 * runs of smartSync leave out.
 *
 * I1: every block gets one use.
 * I2: the guests are this repository's own: their names are not hostile here.
 */

import { FIRST_RUN_EXCLUDES, SECOND_RUN_EXCLUDES } from '@vmdn/core/domain/functional.ts';
import type { BenchmarkOptions } from './benchmark.ts';
import type { Disk } from './workbench.ts';

export const USES = [
  'initrd',
  'file-system metadata',
  'free space',
  'kernel and boot loader',
  'folders that both runs leave out',
  'files below /usr and /lib',
  'other files',
] as const;
export type Use = (typeof USES)[number];

/** 4 KiB, as in the floor; the guests' file systems have blocks of as much. */
export const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
const TIMEOUT_MS = 600_000;
/** A line of a file of requests has at most 8 KiB (debugfs cuts it); each call looks through all inodes. */
const NUMBERS_PER_REQUEST = 700;
/** debugfs looks for each block among those of every file: more take minutes. */
export const BLOCKS_MAX = 100_000;
const OUTPUT_BYTES_MAX = 256 * 2 ** 20;
/** Inodes below are the file system's own: bad blocks, resizing, the journal; the root folder is 2. */
const FIRST_OWN_INODE = 11;
const ROOT_INODE = 2;

type Debugfs = (lines: readonly string[]) => Promise<string>;

/** The use of each of these blocks of a disk (I1), in their order. Throws when it has not one ext volume. */
export async function usesOf(
  options: Pick<BenchmarkOptions, 'runner' | 'signal'>,
  disk: Pick<Disk, 'name' | 'rawPath'>,
  blocks: readonly number[],
): Promise<Use[]> {
  const { runner, signal } = options;
  const start = await volumeStart(options, disk);
  const debugfs: Debugfs = async (lines) => {
    const run = { timeoutMs: TIMEOUT_MS, signal, maxOutputBytes: OUTPUT_BYTES_MAX };
    const args = ['-f', '-', `${disk.rawPath}?offset=${start}`];
    return (await runner.run('debugfs', args, { ...run, input: `${lines.join('\n')}\n` })).stdout;
  };
  const first = start / BLOCK_BYTES;
  // debugfs knows no block 0: with 4 KiB it holds the superblock.
  const inside = blocks.filter((block) => block > first).map((block) => block - first);
  const inodes = await inodesOf(debugfs, inside);
  const orphans = inside.filter((block) => !inodes.has(block));
  const [used, uses] = [await usedOf(debugfs, orphans), await inodeUses(debugfs, inodes)];
  return blocks.map((block): Use => {
    const inode = inodes.get(block - first);
    if (block < first) return 'kernel and boot loader';
    if (inode !== undefined) return uses.get(inode)!;
    if (block === first) return 'file-system metadata';
    return used.has(block - first) ? 'file-system metadata' : 'free space';
  });
}

/** Where the only partition begins, in bytes. */
async function volumeStart(
  { runner, signal }: Pick<BenchmarkOptions, 'runner' | 'signal'>,
  { name, rawPath }: Pick<Disk, 'name' | 'rawPath'>,
): Promise<number> {
  const args = ['--json', '--', rawPath];
  const { stdout } = await runner.run('sfdisk', args, { timeoutMs: TIMEOUT_MS, signal });
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { partitions: readonly { start: number }[] };
  };
  const [partition, ...others] = partitiontable.partitions;
  const start = (partition?.start ?? 0) * SECTOR_BYTES;
  if (start > 0 && start % BLOCK_BYTES === 0 && others.length === 0) return start;
  throw new Error(`${name} has not one partition at a block, so its blocks have no known use`);
}

/** The inode that each block belongs to, where it belongs to one. */
async function inodesOf(
  debugfs: Debugfs,
  blocks: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const text = await debugfs(requests('icheck', blocks));
  const found = text.matchAll(/^(\d+)\t(\d+)$/gm);
  return new Map([...found].map(([, block, inode]) => [Number(block), Number(inode)]));
}

function requests(word: string, numbers: readonly number[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < numbers.length; at += NUMBERS_PER_REQUEST) {
    lines.push(`${word} ${numbers.slice(at, at + NUMBERS_PER_REQUEST).join(' ')}`);
  }
  return lines;
}

/** Those of the blocks that are in use. */
async function usedOf(debugfs: Debugfs, blocks: readonly number[]): Promise<ReadonlySet<number>> {
  if (blocks.length === 0) return new Set();
  const text = await debugfs(blocks.map((block) => `testb ${block}`));
  const found = [...text.matchAll(/^Block (\d+) (marked in use|not in use)$/gm)];
  if (found.length !== blocks.length) throw new Error('debugfs did not say what it was asked for');
  return new Set(
    found.flatMap(([, block, words]) => (words === 'not in use' ? [] : Number(block))),
  );
}

async function inodeUses(
  debugfs: Debugfs,
  inodes: ReadonlyMap<number, number>,
): Promise<ReadonlyMap<number, Use>> {
  const all = [...new Set(inodes.values())];
  const named = all.filter((inode) => inode >= FIRST_OWN_INODE);
  const folders = new Set<number>();
  const paths = new Map<number, string>();
  if (named.length > 0) {
    const text = await debugfs([
      ...requests('ncheck', named),
      ...named.map((inode) => `stat <${inode}>`),
    ]);
    for (const [, inode] of text.matchAll(/^Inode: (\d+) +Type: directory/gm)) {
      folders.add(Number(inode));
    }
    for (const [, inode, path] of text.matchAll(/^(\d+)\t(\/.*)$/gm))
      paths.set(Number(inode), path!);
  }
  return new Map(
    all.map((inode) => {
      const isOwn = inode < FIRST_OWN_INODE && inode !== ROOT_INODE;
      const isMetadata = isOwn || inode === ROOT_INODE || folders.has(inode);
      return [inode, isMetadata ? 'file-system metadata' : useOfFile(paths.get(inode) ?? '')];
    }),
  );
}

function useOfFile(path: string): Use {
  const isBelow = (folder: string): boolean => path.startsWith(`${folder}/`);
  if (path.startsWith('/boot/initrd')) return 'initrd';
  if (isBelow('/boot')) return 'kernel and boot loader';
  if (SECOND_RUN_EXCLUDES.some(isBelow)) return 'folders that both runs leave out';
  // Kept up by packages: the second run brings of them only what is not there.
  return FIRST_RUN_EXCLUDES.some(isBelow) ? 'files below /usr and /lib' : 'other files';
}
