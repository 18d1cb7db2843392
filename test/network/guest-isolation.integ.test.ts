/**
 * From inside a delivered guest neither coordinator, database, edge nor origin answers, although all of
 * them listen on the machine that the guest runs on (DESIGN, decision 7).
 *
 * The whole path is real: a Debian guest that tries is announced, teleported and booted by an edge. The
 * broken twin boots the very image that was delivered with the same command line but for
 * `restrict=on`: there every one of them answers, so the test can fail.
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { parseId, parseName } from '@vmdn/core/domain/names.ts';
import type { ReadyCheck, VmHardware } from '@vmdn/core/domain/vm-specification.ts';
import { qemuArguments } from '@vmdn/core/formats/qemu-command-line.ts';
import { forwardedPorts, parseUsernetConnections } from '@vmdn/core/formats/qmp-usernet.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { startQemuSystem } from '@vmdn/core/io/command/qemu-system.ts';
import { connectQmp } from '@vmdn/core/io/hypervisor/qmp-client.ts';
import { buildGuests, copySparse, findGuest } from '@vmdn/infra/lab/guests.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  edgeSettings,
  startEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
} from '../../apps/edge/src/edge.fixture.ts';
import { type IsolationTarget, makeIsolationGuest } from './isolation-guest.ts';

/** A guest whose first process is one script is up in some 20 s under emulation, and tries for 40 s. */
const BOOT_SECONDS = 480;
const GUEST_PORT = 80;
const web = parseName('web', 'port');
const ready: ReadyCheck = { kind: 'http', port: web, path: '/', timeoutSeconds: BOOT_SECONDS };
const hardware: VmHardware = {
  vcpus: 1,
  memoryMiB: 256,
  firmware: 'bios',
  ports: [{ name: web, guest: GUEST_PORT }],
  ready,
};

describe('a delivered guest', { timeout: 900_000 }, () => {
  let network: TestNetwork;
  let targets: readonly IsolationTarget[];
  let delivered: Teleport;
  let imagePath: string;

  beforeAll(async () => {
    await buildGuests(['debian-12-base'], {});
    network = await startNetwork();
    const origin = await startOrigin(network);
    const databasePort = await exposeDatabase(network);
    const settings = await edgeSettings(network, 'edge', { VMDN_MEMORY_MIB: '1024' });
    const edge = await startEdge(settings);
    network.stack.defer(() => edge[Symbol.asyncDispose]());
    const portOf = (url: string): number => Number(new URL(url).port);
    // 10.0.2.2 is how a guest behind QEMU's user networking names its host's loopback.
    const at = (name: string, port: number, protocol: IsolationTarget['protocol'] = 'http') =>
      ({ name, host: '10.0.2.2', port, protocol }) as const;
    targets = [
      at('coordinator', portOf(network.url)),
      at('database', databasePort, 'postgres'),
      at('edge', portOf(edge.url)),
      at('origin', portOf(origin.url)),
    ];
    const file = join(network.dir, 'guest.raw');
    await copySparse((await findGuest('debian-12-base')).disk.path, file);
    await makeIsolationGuest(file, targets);
    const { digest } = await origin.announce('guest', 1, file, hardware);
    imagePath = join(settings.stateDir, 'store', 'images', digest, 'disk.raw');
    const teleport = await network.teleport('guest');
    delivered = await network.waitFor(teleport, ({ state }) => state === 'running', 600_000);
  }, 900_000);
  afterAll(async () => {
    // The edge leaves its VMs running when it ends.
    await network.remove(delivered.teleport);
    await network[Symbol.asyncDispose]();
  }, 180_000);

  it('is reached through its named port, and itself reaches none of the services beside it', async () => {
    const { host, hostPort } = delivered.endpoints[0]!;
    const report = await (await fetch(`http://${host}:${hostPort}/`)).text();
    expect(report.trim().split('\n')).toEqual(
      targets.map(({ name }) => expect.stringMatching(new RegExp(`^${name}: blocked`))),
    );
  });

  it('would reach all of them if its network were not restricted', async () => {
    const report = await bootUnrestricted(network, imagePath);
    expect(report.trim().split('\n')).toEqual(
      targets.map(({ name }) => expect.stringMatching(new RegExp(`^${name}: ANSWERED`))),
    );
  });
});

/**
 * The coordinator's own PostgreSQL on a TCP port of the loopback, as one named by DATABASE_URL has it:
 * the embedded one listens on a unix socket only.
 */
async function exposeDatabase(network: TestNetwork): Promise<number> {
  const socketPath = join(network.dir, 'coordinator', 'postgres', '.s.PGSQL.5432');
  const relay = createServer((client) => {
    const database = createConnection(socketPath);
    for (const socket of [client, database]) socket.on('error', () => socket.destroy());
    client.pipe(database).pipe(client);
  });
  relay.listen(0, '127.0.0.1');
  network.stack.defer(() => void relay.close());
  await once(relay, 'listening');
  return (relay.address() as AddressInfo).port;
}

/** The port that QEMU took for the guest's own, by its monitor. */
async function forwardedPort(monitor: string): Promise<number> {
  const qmp = await connectQmp(monitor);
  try {
    const command = { 'command-line': 'info usernet' };
    const table = String(await qmp.execute('human-monitor-command', command));
    const port = forwardedPorts(parseUsernetConnections(table)).get(GUEST_PORT);
    if (port === undefined) throw new Error(`QEMU forwards no port:\n${table}`);
    return port;
  } finally {
    qmp.close();
  }
}

/** Boots an image as the driver would, but for `restrict=on`; returns what the guest serves. */
async function bootUnrestricted(network: TestNetwork, imagePath: string): Promise<string> {
  const dir = join(network.dir, 'twin');
  await mkdir(dir);
  const overlayPath = join(dir, 'disk.qcow2');
  const backing = { path: imagePath, format: 'raw' } as const;
  await createQemuImg(createCommandRunner()).createOverlay({ path: overlayPath, backing });
  const monitorSocket = join(dir, 'monitor');
  const vm = parseId(randomUUID(), 'VM');
  const forwards = [{ hostAddress: '127.0.0.1', hostPort: 0, guestPort: GUEST_PORT }];
  const args = qemuArguments({
    ...{ vm, uuid: vm },
    name: parseName('twin', 'VM'),
    ...{ vcpus: 1, memoryMiB: 256, accelerator: 'tcg', firmware: { kind: 'bios' } },
    nics: [{ macAddress: '52:54:00:00:00:01', network: { kind: 'user' }, forwards }],
    disks: [
      {
        layers: [{ descriptor: 3, file: 'image', format: 'raw' }],
        overlay: { descriptor: 4, file: 'overlay' },
      },
    ],
    monitorSocket,
    pidFile: join(dir, 'pid'),
  }).map((arg) => arg.replace('restrict=on', 'restrict=off'));
  await using image = await open(imagePath, 'r');
  await using overlay = await open(overlayPath, 'r+');
  await using log = await open(join(dir, 'log'), 'a');
  const descriptors = [image.fd, overlay.fd];
  const qemu = await startQemuSystem({ user: null, args, descriptors, log: log.fd });
  let hostPort: number | undefined;
  try {
    return await vi.waitFor(
      async () => {
        hostPort ??= await forwardedPort(monitorSocket);
        const page = await fetch(`http://127.0.0.1:${hostPort}/`, {
          signal: AbortSignal.timeout(5000),
        });
        return await page.text();
      },
      { timeout: BOOT_SECONDS * 1000, interval: 500 },
    );
  } finally {
    process.kill(Number(await readFile(join(dir, 'pid'), 'utf8')), 'SIGKILL');
    await qemu.exited;
  }
}
