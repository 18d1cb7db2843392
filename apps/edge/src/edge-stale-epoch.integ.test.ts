import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { bootSector } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { inspectProcess } from '@vmdn/core/io/hypervisor/qemu-process.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  edgeEnvironment,
  HANG_MS,
  HARDWARE,
  RUNTIME_DIR,
  spawnEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
  type TestOrigin,
  writeDisk,
} from './edge.fixture.ts';

const MEBIBYTE = 1024 * 1024;
/** Two edges with one VM on one machine: each needs a place of its own for its sockets. */
const SECOND_RUNTIME_DIR = `${RUNTIME_DIR}-two`;

interface Passed {
  readonly method: string;
  readonly path: string;
  readonly status: number;
}

/** A way to the coordinator that remembers what passed. */
async function startWitness(network: TestNetwork) {
  const passed: Passed[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method = '', url: path = '', headers } = incoming;
    const forwarded = request(new URL(path, network.url), { method, headers }, (answer) => {
      passed.push({ method, path, status: answer.statusCode ?? 0 });
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    outgoing.on('close', () => forwarded.destroy());
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  network.stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return { passed, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('an edge that was away while another one took over', { timeout: 600_000 }, () => {
  let network: TestNetwork;
  let origin: TestOrigin;

  beforeAll(async () => {
    // As short as a lease can be: as long as the silence after which an edge counts as away.
    network = await startNetwork({ VMDN_LEASE_SECONDS: '4' });
    origin = await startOrigin(network);
  }, 600_000);
  afterAll(() => network?.[Symbol.asyncDispose](), 600_000);

  it('stops, removes its VM, and reports nothing more of that teleport', async () => {
    const file = join(network.dir, 'shy.raw');
    const sizes = { dataBytes: 2 * MEBIBYTE, sizeBytes: 8 * MEBIBYTE };
    await writeDisk(file, { firstSector: bootSector(), seed: 'shy', ...sizes });
    // Nothing in the guest ever answers: it stays in "booting".
    const ready = {
      kind: 'http',
      port: HARDWARE.ports[0]!.name,
      path: '/',
      timeoutSeconds: 600,
    } as const;
    await origin.announce('shy', 1, file, { ...HARDWARE, ready });

    const witness = await startWitness(network);
    const environment = await edgeEnvironment(network, 'edge-one');
    const first = await spawnEdge({ ...environment, VMDN_COORDINATOR_URL: witness.url });
    network.stack.defer(() => first.kill('SIGKILL'));
    const teleport = await network.teleport('shy');
    const runtime = join(RUNTIME_DIR, 'vms', teleport);
    await network.waitFor(
      teleport,
      ({ state, edge }) => state === 'booting' && edge === 'edge-one',
    );
    const pid = await vi.waitFor(async () => {
      const found = Number(await readFile(join(runtime, 'pid'), 'utf8'));
      expect(await inspectProcess(teleport, found)).not.toBeNull();
      return found;
    }, HANG_MS);

    first.signal('SIGSTOP');
    const second = await spawnEdge(
      await edgeEnvironment(network, 'edge-two', {
        VMDN_REGION: 'ap-northeast',
        VMDN_RUNTIME_DIR: SECOND_RUNTIME_DIR,
      }),
    );
    network.stack.defer(() => second.kill('SIGKILL'));
    const isTakenOver = (now: { edge: string; epoch: number; state: string }): boolean =>
      now.edge === 'edge-two' && now.epoch === 2 && now.state === 'booting';
    await network.waitFor(teleport, isTakenOver);
    expect(await inspectProcess(teleport, pid)).not.toBeNull();

    const { passed } = witness;
    const whileAway = passed.length;
    first.signal('SIGCONT');
    await vi.waitFor(
      async () => {
        expect(await inspectProcess(teleport, pid)).toBeNull();
        expect(existsSync(runtime)).toBe(false);
        expect(await readdir(join(environment.VMDN_STATE_DIR!, 'vms'))).toEqual([]);
        expect(await readdir(join(environment.VMDN_STATE_DIR!, 'teleports'))).toEqual([]);
      },
      { timeout: HANG_MS, interval: 100 },
    );
    const isReport = ({ path }: Passed): boolean => path === `/v1/teleports/${teleport}/progress`;
    const reports = passed.slice(whileAway).filter(isReport);
    // What it said before it knew was refused.
    for (const { status } of reports) expect(status).toBe(409);
    const isBeat = ({ method, path }: Passed): boolean =>
      method === 'PUT' && path === '/v1/nodes/self';
    const beats = passed.filter(isBeat).length;
    await vi.waitFor(
      () => expect(passed.filter(isBeat).length).toBeGreaterThan(beats + 4),
      HANG_MS,
    );
    expect(passed.slice(whileAway).filter(isReport)).toHaveLength(reports.length);
    expect(isTakenOver(await network.waitFor(teleport, () => true))).toBe(true);
    await network.remove(teleport, SECOND_RUNTIME_DIR);
  });
});
