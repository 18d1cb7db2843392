/**
 * Room: test, bench. `rsync -azAX --delete` of the file tree onto a copy of the base's tree: what an
 * administrator does who gives up the disk's identity. The result is the same files, not the same disk: no
 * partition table, no boot loader, no free space, no hard links; rsync keeps that advantage here.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Netlab } from '@vmdn/infra/netlab/netlab.ts';
import type { BenchmarkOptions } from '../benchmark.ts';
import { type Disk, precomputed } from '../workbench.ts';
import { type Method, STEP_TIMEOUT_MS, type Task, type Transfer, wireScript } from './method.ts';
import { fetchByRsync, serveByRsync } from './rsync-daemon.ts';

const FLAGS = ['-azAX', '--numeric-ids', '--delete'];
/** Compares by content too, prints a line for each difference, changes nothing. */
const COMPARE = ['-aAXnic', '--numeric-ids', '--delete'];

export const rsyncTree: Method = {
  key: 'rsyncTree',
  words: 'rsync -azAX of the file tree',
  prepare: async (task) => [await prepare(task)],
};

async function prepare(task: Task): Promise<Transfer> {
  const { runner, signal } = task.options;
  const baseTree = await treeOf(task.options, task.base);
  const wantedTree = await treeOf(task.options, task.wanted);
  const folder = await task.bench.freshFolder('rsync-tree');
  const result = join(folder, 'tree');
  return {
    setting: '',
    serve: async (lab: Netlab) => {
      const args = ['-a', '--', baseTree, result];
      await runner.run('cp', args, { timeoutMs: STEP_TIMEOUT_MS, signal });
      await serveByRsync(lab, wantedTree, folder);
    },
    fetch: async (lab) => {
      await fetchByRsync(lab, FLAGS, '', `${result}/`);
      // All at once: --fsync would wait for each of its thousands of files by itself.
      await lab.run('edge', 'sync', ['-f', '--', result], { timeoutMs: STEP_TIMEOUT_MS });
    },
    verify: async () => {
      const args = [...COMPARE, '--', `${wantedTree}/`, `${result}/`];
      const { stdout } = await runner.run('rsync', args, { timeoutMs: STEP_TIMEOUT_MS, signal });
      if (stdout !== '') {
        const differences = stdout.split('\n').slice(0, 20);
        const message = `The tree that arrived is not ${task.wanted.name}'s: ${differences.join(' | ')}`;
        throw new VmdnError('corrupt', message, { data: { differences } });
      }
      await rm(result, { recursive: true });
    },
  };
}

/** The files of a disk's root file system, with owners, modes, attributes and times. */
export function treeOf(options: BenchmarkOptions, disk: Disk): Promise<string> {
  const { runner, signal, progress } = options;
  return precomputed(disk.cacheFolder, 'tree', async (path) => {
    progress(`${disk.name}: its file tree, beforehand`);
    // The mount lives in a mount namespace of its own and ends with it, whatever happens.
    const isolated = ['--mount', '--propagation', 'private', '--', process.execPath];
    const args = [...isolated, wireScript('copy-tree.ts'), disk.rawPath, path];
    await runner.run('unshare', args, { timeoutMs: STEP_TIMEOUT_MS, signal });
  });
}
