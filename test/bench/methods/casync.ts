/**
 * Room: test, bench. casync with the base image as its seed: store and index made beforehand, compressed
 * by zstd, served over HTTP. Average chunks of 16 and of 64 KiB.
 */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Netlab } from '@vmdn/infra/netlab/netlab.ts';
import { precomputed } from '../workbench.ts';
import type { Transfer } from './method.ts';
import { checkDisk, type Method, PORTS, STEP_TIMEOUT_MS, type Task, wireScript } from './method.ts';

const CHUNK_SIZES = ['16K', '64K'] as const;

export const casync: Method = {
  key: 'casync',
  words: 'casync with the base as seed',
  prepare: async (task) => {
    const transfers: Transfer[] = [];
    for (const chunkSize of CHUNK_SIZES) transfers.push(await prepare(task, chunkSize));
    return transfers;
  },
};

async function prepare(task: Task, chunkSize: string): Promise<Transfer> {
  const { base, wanted, options } = task;
  const { runner, signal } = options;
  const name = `casync-${chunkSize}`;
  const served = await precomputed(wanted.cacheFolder, name, async (path) => {
    options.progress(`${wanted.name}: casync chunks of ${chunkSize}iB, beforehand`);
    await mkdir(path);
    const settings = [`--chunk-size=${chunkSize}`, '--compression=zstd', `--store=${path}/store`];
    const args = ['make', ...settings, '--', `${path}/disk.caibx`, wanted.rawPath];
    await runner.run('casync', args, { timeoutMs: STEP_TIMEOUT_MS, signal });
  });
  const result = join(await task.bench.freshFolder(name), 'disk.raw');
  return {
    setting: `chunks of ${chunkSize}iB`,
    serve: async (lab: Netlab) => {
      const args = [
        wireScript('serve-folder.ts'),
        lab.addresses.origin,
        String(PORTS.http),
        served,
      ];
      await lab.waitForListener(lab.start('origin', process.execPath, args), PORTS.http);
    },
    fetch: async (lab: Netlab) => {
      const url = `http://${lab.addresses.origin}:${PORTS.http}`;
      const sources = [`--store=${url}/store`, `--seed=${base.rawPath}`];
      const args = ['extract', ...sources, '--', `${url}/disk.caibx`, result];
      await lab.run('edge', 'casync', args, { timeoutMs: STEP_TIMEOUT_MS });
      await lab.run('edge', 'sync', ['-d', '--', result], { timeoutMs: STEP_TIMEOUT_MS });
    },
    verify: async () => {
      await checkDisk(result, task);
      await rm(result);
    },
  };
}
