/**
 * A whole network whose origin finds its VMs in a libvirt: one is teleported while it runs, another is moved.
 */

import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  cancelTeleport,
  getTeleport,
  listVms,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  type PrivateLibvirt,
  startPrivateLibvirt,
} from '@vmdn/core/io/hypervisor/private-libvirt.fixture.ts';
import { copySparse, findGuest, type Guest } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  teleportEnd,
  vmDescribed,
} from '../harness/requests.ts';
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const [RUNNING, MOVED] = ['running', 'moved'] as const;
const LAUNCHER = new URL('../../bin/vmdn.mjs', import.meta.url).pathname;
const READY = '<ready kind="http" port="http" path="/index.html"/>';

const run = promisify(execFile);
const stack = new AsyncDisposableStack();
let libvirt: PrivateLibvirt;
let dir: string;
let guest: Guest;
let network: TestNetwork;

const diskOf = (vm: string): string => join(dir, `${vm}.raw`);
const virsh = async (...args: readonly string[]): Promise<string> =>
  (await run('virsh', ['-q', '-c', libvirt.uri, ...args])).stdout.trim();
const filesOf = async (vm: string): Promise<string[]> =>
  (await readdir(dir)).filter((file) => file.startsWith(vm)).toSorted();

/** As its operator does, on the machine of the origin. */
async function askOrigin(...words: readonly string[]): Promise<void> {
  const env = { ...process.env, VMDN_STATE_DIR: network.node(ORIGIN).stateDir };
  await run(process.execPath, [LAUNCHER, 'origin', ...words], { env });
}

/** A domain of the guest, with its serial console in a file, and what VMDN can't know of it. */
async function define(vm: string): Promise<void> {
  await copySparse(guest.disk.path, diskOf(vm));
  await libvirt.virsh.define(`<domain type='qemu'><name>${vm}</name>
    <metadata><vmdn:source xmlns:vmdn='urn:vmdn:source:1'><port name='http' guest='80'/>${READY}
    </vmdn:source></metadata><memory unit='MiB'>256</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${diskOf(vm)}'/>
    <target dev='vda' bus='virtio'/></disk>
    <serial type='file'><source path='${join(dir, `${vm}.console`)}'/></serial></devices></domain>`);
}

async function expectSite({ endpoints: [endpoint] }: Teleport): Promise<void> {
  const url = `http://${endpoint!.host}:${endpoint!.hostPort}/`;
  const proof = await proveSite(url, guest.siteManifestPath!);
  expect(proof.differences).toEqual([]);
  expect(proof.files).toBeGreaterThan(0);
}

beforeAll(async () => {
  libvirt = stack.use(await startPrivateLibvirt());
  dir = await mkdtemp(join(tmpdir(), 'vmdn-domains-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  // The machine's libvirt runs guests as a user of its own, who must be able to pass.
  await chmod(dir, 0o711);
  guest = await findGuest('tiny');
  for (const vm of [RUNNING, MOVED]) await define(vm);
  await virsh('start', RUNNING);
  const settings = {
    ...{ VMDN_LIBVIRT_URI: libvirt.uri, VMDN_LIBVIRT_STORAGE: dir },
    ...{ VMDN_RUNNING_SOURCES: 'snapshot', VMDN_RUNNING_EVERY: '0' },
  };
  network = await startTestNetwork({
    edges: [{ name: 'edge-1', region: 'eu-west' }],
    origin: { settings },
  });
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  if (libvirt !== undefined) await virsh('destroy', RUNNING).catch(() => undefined);
  await stack.disposeAsync();
});

describe('a domain of libvirt', () => {
  it('that runs is teleported as if its power had failed, boots elsewhere, and runs on', async () => {
    // The other one, which is off, is described of itself once the origin has seen both.
    await vmDescribed(network, MOVED);
    await askOrigin('describe', RUNNING);
    await vmDescribed(network, RUNNING);
    const { vms } = await network.client.call(listVms, {});
    expect(vms.find(({ vm }) => vm === RUNNING)).toMatchObject({ consistency: 'crash' });
    const { teleport } = await beginTeleport(network, RUNNING, 'london');
    const copy = await teleportEnd(network, teleport);
    expect(copy).toMatchObject({ state: 'running', message: null });
    await expectSite(copy);
    expect(await virsh('domstate', RUNNING)).toBe('running');
    expect(await filesOf(RUNNING)).toEqual([`${RUNNING}.console`, `${RUNNING}.raw`]);
    await removeVm(network, copy);
  });

  it('that is moved is one that libvirt can’t start, and is again when the move is given up', async () => {
    const { teleport } = await beginTeleport(network, MOVED, 'london', { move: true });
    const moved = await teleportEnd(network, teleport);
    expect(moved).toMatchObject({ state: 'running', move: { fence: 'held' } });
    await expectSite(moved);
    await expect(virsh('start', MOVED)).rejects.toThrow(/Cannot access storage file/);
    const disk = { path: `${diskOf(MOVED)}.moved-${teleport}`, format: 'raw' };
    expect(await compareDelivered(network, moved, disk)).toMatchObject({ isEqual: true });
    await network.client.call(cancelTeleport, {
      params: { teleport },
      query: { writes: 'discard' },
    });
    // The file has its name before its lock is given up.
    const isOver = async (): Promise<boolean> =>
      (await network.client.call(getTeleport, { params: { teleport } })).move?.fence === 'over';
    await waitFor('the source is back', isOver, { timeoutMs: 60_000 });
    expect(await filesOf(MOVED)).toContain(`${MOVED}.raw`);
    // libvirt makes the file its guest's before that has the lock: to the origin it is a source that changed.
    await askOrigin('release', MOVED, '300');
    await virsh('start', MOVED);
    await virsh('destroy', MOVED);
  });
});
