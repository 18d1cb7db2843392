/** Room: test, bench. The whole disk through `zstd -3` over TCP, compressed beforehand. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Netlab } from '@vmdn/infra/netlab/netlab.ts';
import { precomputed } from '../workbench.ts';
import { checkDisk, type Method, PORTS, STEP_TIMEOUT_MS, wireScript } from './method.ts';

export const zstdCopy: Method = {
  key: 'zstd',
  words: 'whole disk, zstd -3',
  async prepare(task) {
    const { runner, signal } = task.options;
    const { wanted } = task;
    const compressed = await precomputed(wanted.cacheFolder, 'disk.raw.zst', async (path) => {
      const args = ['-3', '-q', '-f', '-o', path, '--', wanted.rawPath];
      await runner.run('zstd', args, { timeoutMs: STEP_TIMEOUT_MS, signal });
    });
    const result = join(await task.bench.freshFolder('zstd'), 'disk.raw');
    const port = String(PORTS.stream);
    const transfer = {
      setting: '',
      serve: async (lab: Netlab) => {
        const args = [wireScript('serve-file.ts'), lab.addresses.origin, port, compressed];
        await lab.waitForListener(lab.start('origin', process.execPath, args), PORTS.stream);
      },
      fetch: async (lab: Netlab) => {
        const args = [wireScript('receive-zstd.ts'), lab.addresses.origin, port, result];
        await lab.run('edge', process.execPath, args, { timeoutMs: STEP_TIMEOUT_MS });
      },
      verify: async () => {
        await checkDisk(result, task);
        await rm(result);
      },
    };
    return [transfer];
  },
};
