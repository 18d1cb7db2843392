/**
 * Room: test, bench. The whole disk by nbdcopy from a qemu-nbd on the origin's side: all but the disk's
 * holes, over several connections, without compression, which NBD does not have.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Netlab } from '@vmdn/infra/netlab/netlab.ts';
import { checkDisk, type Method, PORTS, STEP_TIMEOUT_MS } from './method.ts';

const CONNECTIONS = 4;

export const nbdcopy: Method = {
  key: 'nbdcopy',
  words: 'whole disk, nbdcopy',
  async prepare(task) {
    const result = join(await task.bench.freshFolder('nbdcopy'), 'disk.raw');
    const transfer = {
      setting: '',
      serve: async (lab: Netlab) => {
        const address = ['--bind', lab.addresses.origin, '--port', String(PORTS.nbd)];
        const flags = [
          '--read-only',
          '--persistent',
          '--format=raw',
          `--shared=${2 * CONNECTIONS}`,
        ];
        const args = [...flags, ...address, '--', task.wanted.rawPath];
        await lab.waitForListener(lab.start('origin', 'qemu-nbd', args), PORTS.nbd);
      },
      fetch: async (lab: Netlab) => {
        const url = `nbd://${lab.addresses.origin}:${PORTS.nbd}`;
        const flags = ['--flush', `--connections=${CONNECTIONS}`, '--destination-is-zero'];
        const args = [...flags, '--', url, result];
        await lab.run('edge', 'nbdcopy', args, { timeoutMs: STEP_TIMEOUT_MS });
      },
      verify: async () => {
        await checkDisk(result, task);
        await rm(result);
      },
    };
    return [transfer];
  },
};
