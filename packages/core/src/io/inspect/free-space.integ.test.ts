import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { areFreeRanges, type FreeRanges, zeroFree } from '../../domain/free-ranges.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import {
  debugfs,
  diskInMemory,
  type ExtDisk,
  freeBytesByDumpe2fs,
  freeBytesOf,
  fsck,
  makeExtDisk,
  memoryDisk,
  SECRET,
} from './free-space.fixture.ts';
import { findFreeSpace } from './free-space.ts';

const MIB = 2 ** 20;
const runner = createCommandRunner();
const PARTITION = 'label: dos\nstart=2048, type=83\n';
const CHECKED = ['-t', 'ext4', '-b', '4096'];
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-free-'));
});
afterAll(async () => await rm(dir, { recursive: true }));

async function free(disk: ExtDisk) {
  return await findFreeSpace(memoryDisk(await diskInMemory(disk)));
}

/** A copy without its free space. */
async function withoutFree(disk: ExtDisk, ranges: FreeRanges): Promise<ExtDisk> {
  const bytes = await diskInMemory(disk);
  zeroFree(ranges, bytes, 0);
  const path = `${disk.path}.skip-free`;
  await writeFile(path, bytes);
  return { ...disk, path };
}

/** Names, modes, times and contents of all files, as debugfs tells them. */
async function filesOf(disk: ExtDisk): Promise<string> {
  const commands = ['ls -lp /', 'ls -lp /etc', 'stat /kept', 'cat /kept', 'cat /late'];
  return await debugfs(runner, disk, ...commands);
}

describe('the free space of a disk', () => {
  it.each([
    ['ext4', { mkfs: CHECKED }],
    ['ext4 with blocks of 1 KiB', { mkfs: ['-t', 'ext4', '-b', '1024'] }],
    ['ext4 with blocks of 64 KiB', { mkfs: ['-t', 'ext4', '-b', '65536'] }],
    ['ext4 without 64bit', { mkfs: ['-t', 'ext4', '-b', '4096', '-O', '^64bit'] }],
    ['ext4 with small groups', { mkfs: ['-t', 'ext4', '-b', '4096', '-g', '1024', '-G', '4'] }],
    ['ext4 with the older checksums', { mkfs: ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg'] }],
    ['ext4 with two copies', { mkfs: ['-t', 'ext4', '-b', '1024', '-O', 'sparse_super2'] }],
    ['ext4 with a seed', { mkfs: [...CHECKED, '-O', 'metadata_csum_seed'] }],
    ['ext3', { mkfs: ['-t', 'ext3', '-b', '4096'] }],
    ['ext2', { mkfs: ['-t', 'ext2', '-b', '1024', '-O', '^sparse_super,^resize_inode'] }],
    ['a partition', { mkfs: CHECKED, layout: PARTITION, offsetBytes: MIB }],
  ])('of %s is what dumpe2fs says, and its bytes may go', async (words, options) => {
    const name = words.replaceAll(' ', '-');
    const disk = await makeExtDisk(runner, dir, { name, ...options });
    const { ranges, kept } = await free(disk);
    expect(kept).toEqual([]);
    expect(freeBytesOf(ranges)).toBe(await freeBytesByDumpe2fs(runner, disk));
    expect((await diskInMemory(disk)).subarray()).toSatisfy((bytes: Uint8Array) =>
      Buffer.from(bytes.buffer).includes(SECRET),
    );
    const copy = await withoutFree(disk, ranges);
    expect(Buffer.from(await diskInMemory(copy)).includes(SECRET)).toBe(false);
    expect(await filesOf(copy)).toEqual(await filesOf(disk));
    expect(await fsck(runner, copy)).toBe(await fsck(runner, disk));
    expect(await fsck(runner, copy)).toBe(0);
  });

  it.each([
    ['a journal to be replayed', 'feature needs_recovery', 'journal'],
    ['an unclean end', 'ssv state 0', 'unmounted cleanly'],
    ['errors', 'ssv state 3', 'errors'],
    ['a feature that nobody knows', 'feature FEATURE_I31', 'not understood'],
  ])('I1: of a volume with %s is nothing', async (words, command, why) => {
    const disk = await makeExtDisk(runner, dir, {
      name: words.replaceAll(' ', '-'),
      mkfs: CHECKED,
    });
    await debugfs(runner, disk, command);
    expect(await free(disk)).toEqual({
      ranges: new Float64Array(0),
      kept: [expect.stringContaining(why)],
    });
  });

  it.each([
    ['bigalloc', ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc']],
    ['meta_bg', ['-t', 'ext4', '-b', '4096', '-O', 'meta_bg,^resize_inode']],
  ])('I1: of a volume with %s is nothing', async (words, mkfs) => {
    const disk = await makeExtDisk(runner, dir, { name: words, mkfs });
    const { ranges, kept } = await free(disk);
    expect(ranges).toHaveLength(0);
    expect(kept[0]).toContain(words);
  });

  it('I2: is never more than it was, whatever bytes of a checked volume are changed', async () => {
    const mkfs = ['-t', 'ext4', '-b', '1024', '-g', '2048', '-G', '4'];
    const disk = await makeExtDisk(runner, dir, { name: 'changed', sizeMiB: 16, mkfs });
    const bytes = await diskInMemory(disk);
    const before = await findFreeSpace(memoryDisk(bytes));
    const isFree = new Uint8Array(bytes.length / 512).fill(1);
    zeroFree(
      before.ranges.map((at) => at / 512),
      isFree,
      0,
    );
    const change = fc.tuple(
      fc.oneof(fc.integer({ min: 1024, max: 2047 }), fc.nat({ max: 200 * 1024 })),
      fc.nat({ max: 255 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const changed = bytes.slice();
        for (const [at, value] of changes) changed[at] = value;
        const { ranges } = await findFreeSpace(memoryDisk(changed));
        expect(areFreeRanges(ranges, bytes.length)).toBe(true);
        for (let i = 0; i < ranges.length; i += 2) {
          const [first, end] = [ranges[i]! / 512, (ranges[i]! + ranges[i + 1]!) / 512];
          expect(isFree.subarray(first, end).every((one) => one === 0)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('I2: of any bytes is some of them, and found in bounded time', async () => {
    const disk = await makeExtDisk(runner, dir, {
      name: 'unchecked',
      sizeMiB: 8,
      mkfs: ['-t', 'ext2'],
    });
    const bytes = await diskInMemory(disk);
    const change = fc.tuple(fc.nat({ max: 8192 }), fc.uint8Array({ minLength: 1, maxLength: 40 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 6 }), async (changes) => {
        const changed = bytes.slice();
        for (const [at, values] of changes) changed.set(values, at);
        const { ranges } = await findFreeSpace(memoryDisk(changed));
        expect(areFreeRanges(ranges, bytes.length)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe('swap', () => {
  const SWAP = 'label: dos\nstart=2048, type=82\n';
  async function makeSwap(name: string, layout: string, partitionBytes: number): Promise<ExtDisk> {
    const path = join(dir, name);
    await writeFile(path, Buffer.alloc(8 * MIB, 'was in memory'));
    await runner.run('sfdisk', ['-q', path], { timeoutMs: 60_000, input: layout });
    const area = join(dir, `${name}.area`);
    await writeFile(area, Buffer.alloc(partitionBytes, 'was in memory'));
    await runner.run('mkswap', ['-q', '-L', 'memory', area], { timeoutMs: 60_000 });
    const args = ['-n', `if=${area}`, `of=${path}`, 'bs=1M', 'seek=1', 'conv=notrunc'];
    await runner.run('dd', args.slice(1), { timeoutMs: 60_000 });
    return { path, offsetBytes: MIB };
  }

  it('is free but for the page with its header, and is swap afterwards', async () => {
    for (const layout of [SWAP, 'label: gpt\nstart=2048, size=12288, type=S\n']) {
      const isGpt = layout.includes('gpt');
      const bytes = isGpt ? 6 * MIB : 7 * MIB;
      const disk = await makeSwap(isGpt ? 'gpt' : 'mbr', layout, bytes);
      const { ranges, kept } = await free(disk);
      expect(kept).toEqual([]);
      expect([...ranges]).toEqual([MIB + 4096, bytes - 4096]);
      const copy = await withoutFree(disk, ranges);
      const probe = [
        '-p',
        '-O',
        String(MIB),
        '-o',
        'value',
        '-s',
        'LABEL',
        '-s',
        'TYPE',
        copy.path,
      ];
      const { stdout } = await runner.run('blkid', probe, { timeoutMs: 60_000 });
      expect(stdout.split('\n')).toEqual(expect.arrayContaining(['memory', 'swap']));
    }
  });

  it('I1: is kept where its partition is of another type, or its size is another', async () => {
    const other = await makeSwap('linux', SWAP.replace('82', '83'), 7 * MIB);
    expect((await free(other)).kept).toEqual([
      'volume 1: it looks like swap, but its partition is not typed as such',
    ]);
    const short = await makeSwap('short', SWAP, 6 * MIB);
    expect((await free(short)).ranges).toHaveLength(0);
  });

  it('I1: is kept where it holds a suspended system', async () => {
    const disk = await makeSwap('suspended', SWAP, 7 * MIB);
    const bytes = await diskInMemory(disk);
    bytes.set(Buffer.from('S1SUSPEND\0'), MIB + 4086);
    expect((await findFreeSpace(memoryDisk(bytes))).ranges).toHaveLength(0);
  });
});

describe('what may be two things', () => {
  it.each([
    ['LVM', 512, 'LABELONE'],
    ['MD RAID', 4096, Buffer.from([0xfc, 0x4e, 0x2b, 0xa9])],
    ['ZFS', 131_072 + 4096, Buffer.from([0x0c, 0xb1, 0xba, 0])],
    ['swap', 4086, 'SWAPSPACE2'],
    ['LUKS', 0, Buffer.from('LUKS\xba\xbe', 'latin1')],
  ])('I1: ext and %s is kept whole', async (name, at, signature) => {
    const disk = await makeExtDisk(runner, dir, {
      name: `two-${name}`,
      sizeMiB: 16,
      mkfs: ['-t', 'ext2'],
    });
    const bytes = await diskInMemory(disk);
    bytes.set(Buffer.from(signature as never), at);
    const { ranges, kept } = await findFreeSpace(memoryDisk(bytes));
    expect(ranges).toHaveLength(0);
    expect(kept).toHaveLength(1);
  });

  it('I1: partitions that overlap are kept whole', async () => {
    const disk = await makeExtDisk(runner, dir, {
      ...{ name: 'overlapping', mkfs: CHECKED, offsetBytes: MIB },
      layout: PARTITION,
    });
    const bytes = await diskInMemory(disk);
    const view = new DataView(bytes.buffer);
    view.setUint8(446 + 16 + 4, 0x83);
    view.setUint32(446 + 16 + 8, 8192, true);
    view.setUint32(446 + 16 + 12, 8192, true);
    const { ranges, kept } = await findFreeSpace(memoryDisk(bytes));
    expect(ranges).toHaveLength(0);
    expect(kept).toHaveLength(2);
  });
});
