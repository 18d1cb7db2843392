import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import type { Guest } from '@vmdn/infra/lab/guests.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BenchmarkOptions } from './benchmark.ts';
import { measurePair, type PairFigures } from './bytes.ts';
import { casync } from './methods/casync.ts';
import { rsyncImage } from './methods/rsync-image.ts';
import { rsyncTree } from './methods/rsync-tree.ts';
import { zstdCopy } from './methods/zstd-copy.ts';
import { openWorkbench } from './workbench.ts';

const METHODS = [zstdCopy, rsyncImage, casync, rsyncTree];
const isRoot = process.getuid?.() === 0;
/** `infra/setup.sh bench` brings them; testing VMDN itself does not need them. */
const hasPeers = ['casync', 'rsync', 'zstd'].every((tool) => existsSync(`/usr/bin/${tool}`));
const MIB = 1024 * 1024;
const DISK_MIB = 80;
let folder: string;
let options: BenchmarkOptions;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-bench-'));
  options = {
    json: false,
    rateBytesPerSecond: null,
    signal: new AbortController().signal,
    runner: createCommandRunner(),
    cacheDir: join(folder, 'cache'),
    progress: () => {},
  };
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** A disk with one partition at 1 MiB: ext4 with blocks of 4 KiB, holding the files in `tree`. */
async function makeGuest(name: string, tree: string, format: 'raw' | 'qcow2'): Promise<Guest> {
  const raw = join(folder, `${name}.raw`);
  const file = await open(raw, 'w');
  await file.truncate(DISK_MIB * MIB);
  await file.close();
  execFileSync('sfdisk', ['-q', raw], { input: 'label: dos\nstart=2048, type=83\n' });
  const args = ['-q', '-t', 'ext4', '-b', '4096', '-E', `offset=${MIB}`, '-d', tree, raw];
  execFileSync('mke2fs', [...args, String(((DISK_MIB - 1) * MIB) / 4096)]);
  const rest = { name, siteManifestPath: null, specificationPath: '' };
  if (format === 'raw') return { ...rest, disk: { path: raw, format } };
  const path = join(folder, `${name}.qcow2`);
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path]);
  return { ...rest, disk: { path, format } };
}

describe.skipIf(!isRoot || !hasPeers)(
  'as root, who alone may make namespaces, with the peers installed',
  () => {
    let figures: PairFigures;
    const ownBytes = 6 * MIB;
    const sharedBytes = 20 * MIB;

    beforeAll(async () => {
      const [baseTree, wantedTree] = [join(folder, 'base'), join(folder, 'wanted')];
      await mkdir(baseTree);
      await mkdir(wantedTree);
      const shared = randomBytes(sharedBytes);
      await writeFile(join(baseTree, 'shared'), shared);
      // Another order and another place, so that nothing lies where it lay.
      await writeFile(join(wantedTree, 'a-own'), randomBytes(ownBytes));
      await writeFile(join(wantedTree, 'shared'), shared);
      const base = await makeGuest('base-disk', baseTree, 'raw');
      const wanted = await makeGuest('wanted-disk', wantedTree, 'qcow2');
      await using bench = await openWorkbench(options);
      const disks = { base: await bench.disk(base), wanted: await bench.disk(wanted) };
      figures = await measurePair(METHODS, { ...disks, bench, options });
    });

    test('the floor is the bytes that only the wanted disk has', () => {
      const { floor, nonZero } = figures.floor;
      expect(floor).toBeGreaterThan(ownBytes);
      expect(floor).toBeLessThan(ownBytes * 1.05);
      expect(nonZero).toBeGreaterThan(ownBytes + sharedBytes);
      expect(nonZero).toBeLessThan((ownBytes + sharedBytes) * 1.2);
    });

    test('each peer delivers the disk, for no less than the floor', () => {
      expect([...figures.costs.keys()]).toEqual(['zstd', 'rsyncImage', 'casync', 'rsyncTree']);
      for (const cost of [...figures.costs.values()].flat()) {
        expect(cost.bytes).toBeGreaterThan(figures.floor.floor);
        expect(cost.bytes).toBe(cost.toEdgeBytes + cost.toOriginBytes);
      }
    });

    test('a whole copy costs everything, and those that know the base cost less', () => {
      const bytesOf = (key: string): number => figures.costs.get(key)![0]!.bytes;
      expect(bytesOf('zstd')).toBeGreaterThan(ownBytes + sharedBytes);
      for (const key of ['rsyncImage', 'casync', 'rsyncTree']) {
        expect(bytesOf(key)).toBeLessThan((ownBytes + sharedBytes) / 2);
      }
    });

    test('nothing is left in the work folder', async () => {
      expect(await readdir(join(options.cacheDir, 'bench', 'runs'))).toEqual([]);
    });
  },
);
