/**
 * A guest with a server for SSH is delivered three times: twice with an identity of its own, once with that
 * of its source. Its web page says who it is. On the way the edge is killed while an identity is written.
 */

import { randomUUID } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freshHostname } from '@vmdn/core/domain/identity.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import { cardAddress } from '@vmdn/core/formats/guest-nics.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { debugfs } from '@vmdn/core/io/inspect/free-space.fixture.ts';
import { findGuest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beginTeleport, removeVm, teleportUntil, vmDescribed } from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const VM = 'who-01';
const EDGE = 'edge-1';
/** Where the guest's file system begins. */
const OFFSET_BYTES = 2048 * 512;
const MACHINE_ID = '0123456789abcdef0123456789abcdef';
const MAC = '52:54:00:12:34:56';
const UUID = randomUUID();
/** Until it is ready it takes 110 s by itself under emulation, many times that on a busy machine. */
const READY = { kind: 'http', port: 'http', path: '/index.html', timeoutSeconds: 900 };
const BOOT_MS_MAX = 1_200_000;
const KEYS = ['ecdsa', 'ed25519', 'rsa'] as const;
const runner = createCommandRunner();

let network: TestNetwork;
/** Public host keys of the source: kind and key, sorted. */
let sourceKeys: readonly string[];
const delivered: Who[] = [];

/** What the guest says of itself. */
interface Who {
  readonly teleport: Teleport;
  readonly uuid: string;
  readonly macs: readonly string[];
  readonly machineId: string;
  readonly dbusId: string;
  readonly hostname: string;
  readonly address: string;
  /** By its server, and those that lie on its disk. */
  readonly served: readonly string[];
  readonly keys: readonly string[];
}

async function askGuest(teleport: Teleport): Promise<Who> {
  const { host, hostPort } = teleport.endpoints[0]!;
  const reply = await fetch(`http://${host}:${hostPort}/who.txt`);
  const lines = (await reply.text()).split('\n');
  const all = (what: string): string[] =>
    lines.filter((line) => line.startsWith(`${what} `)).map((line) => line.slice(what.length + 1));
  const [uuid, machineId, dbusId, hostname, address] = [
    ...['uuid', 'machine-id', 'dbus-id', 'hostname', 'address'],
  ].map((what) => all(what).join('\n'));
  return {
    ...{ teleport, uuid: uuid!, machineId: machineId!, dbusId: dbusId! },
    ...{ hostname: hostname!, address: address! },
    ...{ macs: all('mac'), served: all('served').sort(), keys: all('key').sort() },
  };
}

const begin = (how: Parameters<typeof beginTeleport>[3]) =>
  beginTeleport(network, VM, 'london', { ...how, networks: { lan: 'user' as Name } });
const untilRuns = ({ teleport: id }: Teleport) =>
  teleportUntil(network, id, 'it runs', ({ state }) => state === 'running', BOOT_MS_MAX);

/** Programs that have to do with a VM's files: its appliance, its QEMU. */
async function programsOf({ teleport: id }: Teleport): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    const line = await readFile(join('/proc', pid, 'cmdline'), 'utf8').catch(() => '');
    if (line.includes(join('vms', id))) found.push(line);
  }
  return found;
}

async function dump(path: string, from: string): Promise<string> {
  const to = join(network.folder, 'dumped');
  await debugfs(runner, { path, offsetBytes: OFFSET_BYTES }, `dump ${from} ${to}`);
  return await readFile(to, 'utf8');
}

beforeAll(async () => {
  let source = '';
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    vms: async (vmsDir) => {
      const who = { uuid: UUID, interfaces: [{ network: 'lan', mac: MAC }], ready: READY };
      ({ path: source } = await placeVm(await findGuest(VM), vmsDir, VM, [], who));
      const id = join(vmsDir, 'machine-id');
      await writeFile(id, `${MACHINE_ID}\n`);
      const commands = ['rm /etc/machine-id', `write ${id} /etc/machine-id`];
      await debugfs(runner, { path: source, offsetBytes: OFFSET_BYTES }, ...commands);
    },
  });
  const words = [];
  for (const kind of KEYS) {
    const key = await dump(source, `/etc/ssh/ssh_host_${kind}_key.pub`);
    words.push(key.split(' ').slice(0, 2).join(' '));
  }
  sourceKeys = words.sort();
  await vmDescribed(network, VM);
}, 300_000);
afterAll(async () => network?.[Symbol.asyncDispose]());

describe('the identity of delivered guests', () => {
  it('is refused before a byte moves on a network that no edge has', async () => {
    const asked = beginTeleport(network, VM, 'london');
    await expect(asked).rejects.toMatchObject({ code: 'not_found' });
    await expect(asked).rejects.toThrow(
      /network "lan", which no edge has. edge-1: .*it has user\./,
    );
  });

  it(
    'is written anew when the edge is killed in the middle, and the guest then runs',
    async () => {
      const begun = await begin({ identity: 'fresh' });
      // Its own QEMU comes after the programs that start it, and writes.
      const appliance = async (): Promise<boolean> =>
        (await programsOf(begun)).some((line) => line.includes('qemu-system'));
      await waitFor('its identity is being written', appliance, { timeoutMs: 300_000 });
      await network.node(EDGE).service.kill();
      const isEnded = async (): Promise<boolean> => (await programsOf(begun)).length === 0;
      await waitFor('the appliance has ended', isEnded, { timeoutMs: 60_000 });
      await network.node(EDGE).restart();
      const teleport = await untilRuns(begun);
      expect(teleport.phases.identity).toBeGreaterThan(0);
      delivered.push(await askGuest(teleport));
      await removeVm(network, teleport);
    },
    BOOT_MS_MAX + 600_000,
  );

  it(
    'is another one for the second fresh copy, by a host name that was wished',
    async () => {
      const begun = await begin({ identity: 'fresh', hostname: 'elsewhere' });
      const teleport = await untilRuns(begun);
      delivered.push(await askGuest(teleport));
      await removeVm(network, teleport);
    },
    BOOT_MS_MAX + 300_000,
  );

  it(
    'is the source’s for a copy with the same, out of the same snapshot',
    async () => {
      const teleport = await untilRuns(await begin({}));
      const who = await askGuest(teleport);
      expect(who).toMatchObject({
        ...{ uuid: UUID, macs: [MAC], machineId: MACHINE_ID, dbusId: MACHINE_ID, hostname: VM },
        ...{ served: sourceKeys, keys: sourceKeys },
      });
      expect(teleport.disks[0]?.wireBytes.origin).toBe(0);
      delivered.push(who);
    },
    BOOT_MS_MAX + 300_000,
  );

  it('is all its own for fresh copies: UUID, MAC address, machine-id, host keys, host name', () => {
    expect(delivered).toHaveLength(3);
    const [first, second, same] = delivered as [Who, Who, Who];
    for (const { teleport, ...who } of [first, second]) {
      expect(who.uuid).toBe(teleport.teleport);
      expect(who.macs).toEqual([cardAddress(teleport.teleport, 0)]);
      expect(who.hostname).toBe(teleport.hostname);
      // The name resolves, as it did.
      expect(who.address).toMatch(new RegExp(`^127\\.0\\.1\\.1 +${teleport.hostname}$`));
      expect(who.machineId).toMatch(/^[0-9a-f]{32}$/);
      expect(who.dbusId).toBe(who.machineId);
      // Its server has the keys that lie there, of the same kinds.
      expect(who.served).toEqual(who.keys);
      expect(who.keys.map((key) => key.split(' ')[0])).toEqual(
        sourceKeys.map((key) => key.split(' ')[0]),
      );
    }
    expect(first.hostname).toBe(freshHostname(VM as Name, first.teleport.teleport));
    expect(second.hostname).toBe('elsewhere');
    const all = (of: (who: Who) => readonly string[]) => [first, second, same].flatMap(of);
    for (const of of [
      (who: Who) => [who.uuid],
      (who: Who) => who.macs,
      (who: Who) => [who.machineId],
      (who: Who) => who.keys,
      (who: Who) => [who.hostname],
    ]) {
      expect(new Set(all(of)).size).toBe(all(of).length);
    }
  });
});
