/**
 * Room: test, bench. What the link itself carries: as many bytes as the wanted disk has, from memory to
 * memory over one TCP connection. No disk is delivered; a figure stands when as many bytes came as were sent.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Netlab } from '@vmdn/infra/netlab/netlab.ts';
import { type Critical, type Method, PORTS, STEP_TIMEOUT_MS, wireScript } from './method.ts';

interface Received {
  readonly bytes: number;
  readonly startMs: number;
  readonly endMs: number;
}

export const bareTcp: Method = {
  key: 'bareTcp',
  words: 'bare TCP',
  async prepare(task) {
    const port = String(PORTS.stream);
    const { sizeBytes } = task.wanted;
    let critical: Critical = { startMs: 0, endMs: 0, bytes: 0 };
    const transfer = {
      setting: '',
      serve: async (lab: Netlab) => {
        const args = [wireScript('send-bytes.ts'), lab.addresses.origin, port, String(sizeBytes)];
        await lab.waitForListener(lab.start('origin', process.execPath, args), PORTS.stream);
      },
      fetch: async (lab: Netlab) => {
        const args = [wireScript('receive-bytes.ts'), lab.addresses.origin, port];
        const options = { timeoutMs: STEP_TIMEOUT_MS };
        const { stdout } = await lab.run('edge', process.execPath, args, options);
        critical = JSON.parse(stdout) as Received;
      },
      critical: () => critical,
      verify: async () => {
        if (critical.bytes === sizeBytes) return;
        throw new VmdnError('corrupt', 'Another number of bytes arrived than was sent.', {
          data: { sent: sizeBytes, arrived: critical.bytes },
        });
      },
    };
    return [transfer];
  },
};
