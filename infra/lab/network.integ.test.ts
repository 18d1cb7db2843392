import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listEdges } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startNetwork } from './network.ts';
import { findProcesses } from './processes.ts';
import { readRecord } from './record.ts';
import { startScript } from './script.fixture.ts';
import { waitFor } from './wait-for.ts';

let stateDir = '';

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmdn-network-'));
  await chmod(stateDir, 0o711);
});
afterEach(async () => rm(stateDir, { recursive: true, force: true }));

describe('a network', () => {
  it('answers, survives the death of its coordinator, and leaves nothing behind', async () => {
    await using network = await startNetwork({ stateDir, origins: [], edges: [] });
    const record = await readRecord(stateDir);
    const mark = record?.mark ?? '';
    expect(record?.coordinatorUrl).toBe(network.coordinator.service.url);
    expect((await findProcesses(mark, stateDir)).length).toBeGreaterThanOrEqual(2);
    expect((await stat(network.clientFilePath)).mode & 0o777).toBe(0o600);
    expect(await network.client.call(listEdges, {})).toEqual({ nodes: [] });

    await network.coordinator.service.kill();
    await expect(network.client.call(listEdges, {})).rejects.toMatchObject({ code: 'unavailable' });
    await network.coordinator.restart();
    expect(await network.client.call(listEdges, {})).toEqual({ nodes: [] });

    const { killed } = await network.stop();
    expect(killed).toEqual([]);
    expect(await findProcesses(mark, stateDir)).toEqual([]);
    expect(await readRecord(stateDir)).toBeUndefined();
  });

  it('I3: ends when the process that started it was killed', async () => {
    const script = `
      import { startNetwork } from ${JSON.stringify(new URL('./network.ts', import.meta.url).href)};
      await startNetwork({ stateDir: ${JSON.stringify(stateDir)}, origins: [], edges: [] });
      process.stdout.write('up');
      process.stdin.resume();
    `;
    const starter = await startScript(script);
    const mark = (await readRecord(stateDir))?.mark ?? '';
    try {
      expect((await findProcesses(mark, stateDir)).length).toBeGreaterThanOrEqual(2);
    } finally {
      starter.kill('SIGKILL');
      const isOver = async () =>
        (await readRecord(stateDir)) === undefined &&
        (await findProcesses(mark, stateDir)).length === 0;
      await waitFor('the network is stopped', isOver, { timeoutMs: 60_000 });
    }
  });

  it('says the last words of a service that does not start, and leaves nothing behind', async () => {
    const coordinatorSettings = { VMDN_HEARTBEAT_SECONDS: '9000' };
    const starting = startNetwork({ stateDir, origins: [], edges: [], coordinatorSettings });
    await expect(starting).rejects.toThrow(/ended with exit code 1[\s\S]*VMDN_HEARTBEAT_SECONDS/);
    expect(await readRecord(stateDir)).toBeUndefined();
  });
});
