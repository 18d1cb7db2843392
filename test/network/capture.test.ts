/**
 * What a delivered VM has written goes on with it: a real Debian guest writes, is captured by the tool
 * of its users while its edge is killed, and comes home, where only what it wrote has to cross. Then it is
 * forgotten, and its edge has nothing of it any more.
 */

import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Name } from '@vmdn/core/domain/names.ts';
import {
  describeVm,
  getTeleport,
  listVms,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { type Capture, getCapture } from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import { compareDisks, type DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { deliveredDisk } from '@vmdn/infra/lab/edge-files.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { runTool } from '@vmdn/infra/lab/tools.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  beginTeleport,
  importImage,
  teleportEnd,
  teleportUntil,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const VM = 'web-02';
const CAPTURED = 'web-02-used';
const [EDGE, HOME] = ['edge-dublin', 'edge-home'];
/** What users do leaves its traces in the guest: nginx writes down which page was asked for. */
const PAGE = 'this-page-was-asked-for-in-dublin';
const LAUNCHER = new URL('../../bin/vmdn.mjs', import.meta.url).pathname;
const CAPTURE_MS_MAX = 420_000;
const TOOL_MS_MAX = 120_000;
const ANSWER_MS_MAX = 10_000;
/** Where the guest's file system begins. */
const PARTITION_BYTES = 2 ** 20;

let network: TestNetwork;
let guest: Guest;
let delivered: Teleport;
let captured: Capture;
let home: Teleport;

/** Runs the tool as a user does, on the network's client file. Rejects on a non-zero exit code. */
async function vmdn(...args: string[]): Promise<string> {
  const env = { ...process.env, VMDN_CLIENT_FILE: network.clientFilePath };
  const options = { env, timeout: CAPTURE_MS_MAX };
  return (await promisify(execFile)(process.execPath, [LAUNCHER, ...args], options)).stdout;
}

function addressOf({ endpoints }: Teleport): string {
  const [endpoint] = endpoints;
  if (endpoint === undefined) throw new Error('the VM is reachable nowhere');
  return `http://${endpoint.host}:${endpoint.hostPort}/`;
}

async function expectSite(teleport: Teleport): Promise<void> {
  if (guest.siteManifestPath === null) throw new Error('there is no site');
  const proof = await proveSite(addressOf(teleport), guest.siteManifestPath);
  expect(proof.differences).toEqual([]);
  expect(proof.files).toBeGreaterThan(0);
}

/** Waits until a delivered VM is on or off, and has said so. */
async function powered(teleport: Teleport, power: Teleport['power']): Promise<Teleport> {
  const params = { teleport: teleport.teleport };
  const probe = async (): Promise<Teleport | undefined> => {
    const now = await network.client.call(getTeleport, { params });
    const isReachable = now.endpoints.length > 0;
    return now.power === power && isReachable === (power === 'on') ? now : undefined;
  };
  return await waitFor(`the VM is ${power}`, probe, { timeoutMs: CAPTURE_MS_MAX });
}

/** Waits until the guest of a delivered VM heeds its power button: who answers that comes before `login:`. */
async function heedsButton({ teleport }: Teleport): Promise<void> {
  const console = join(network.node(EDGE).stateDir, 'vms', teleport, 'console.log');
  const isUp = async (): Promise<boolean> => (await readFile(console, 'utf8')).includes('login:');
  await waitFor('the guest lets users in', isUp, { timeoutMs: CAPTURE_MS_MAX });
}

/** Waits until the guest of a delivered VM answers, wherever its ports are by then. */
async function answering({ teleport }: Teleport): Promise<Teleport> {
  const probe = async (): Promise<Teleport | undefined> => {
    const now = await network.client.call(getTeleport, { params: { teleport } });
    const answer = fetch(addressOf(now), { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    return (await answer.catch(() => null))?.ok ? now : undefined;
  };
  return await waitFor('the guest answers', probe, { timeoutMs: CAPTURE_MS_MAX });
}

/** What the capture had to read, since the guest had written there. */
async function writtenBytes(): Promise<number> {
  const lines = (await network.logOf(EDGE)).split('\n');
  const line = lines.findLast((each) => each.includes('"vm_captured"')) ?? '';
  return (JSON.parse(line) as { readonly readBytes: number }).readBytes;
}

/** What a disk's guest has in a file, read by e2fsprogs. */
async function guestFile({ path, format }: DiskFile, file: string): Promise<string> {
  const raw = join(network.folder, 'guest-file.raw');
  const options = { timeoutMs: TOOL_MS_MAX };
  await runTool(['qemu-img', 'convert', '-U', '-f', format, '-O', 'raw', '--', path, raw], options);
  return await runTool(
    ['debugfs', '-R', `cat ${file}`, `${raw}?offset=${PARTITION_BYTES}`],
    options,
  );
}

beforeAll(async () => {
  guest = await findGuest(VM);
  let source: DiskFile | undefined;
  network = await startTestNetwork({
    edges: [
      { name: EDGE, region: 'dublin' },
      { name: HOME, region: 'eu-central' },
    ],
    vms: async (vmsDir) => {
      source = await placeVm(guest, vmsDir);
    },
  });
  const { disk } = await findGuest('debian-12-base');
  await importImage(network, EDGE, 'debian-12-base', disk);
  // The VM came from here: its disk, as it was when it left, is at hand.
  await importImage(network, HOME, 'web-02-as-it-left', source!);
  await vmDescribed(network, VM);
  await vmPlanned(network, VM, EDGE);
  const begun = await beginTeleport(network, VM, 'dublin', { lazy: true });
  const needsNobody = ({ independentAt }: Teleport): boolean => independentAt !== null;
  const { teleport } = begun;
  delivered = await teleportUntil(network, teleport, 'it needs nobody', needsNobody);
  expect(delivered).toMatchObject({ state: 'running', edge: EDGE, power: 'on' });
});
afterAll(async () => network?.[Symbol.asyncDispose]());

describe('a delivered VM', () => {
  it('is stopped and started by the tool, and is the same afterwards', async () => {
    await fetch(new URL(PAGE, addressOf(delivered)));
    await heedsButton(delivered);
    expect(await vmdn('stop', delivered.teleport)).toContain('is being stopped');
    const off = await powered(delivered, 'off');
    expect(off).toMatchObject({ state: 'running', endpoints: [] });
    expect(await vmdn('start', delivered.teleport)).toContain('is being started');
    delivered = await answering(await powered(delivered, 'on'));
    await expectSite(delivered);
  });

  it('is captured with what it wrote although its edge is killed meanwhile, and goes on', async () => {
    await heedsButton(delivered);
    const args = ['capture', delivered.teleport, '--as', CAPTURED, '--json'];
    captured = JSON.parse((await vmdn(...args)).trimEnd().split('\n').at(-1) ?? '') as Capture;
    const params = { capture: captured.capture };
    const look = async (): Promise<Capture> => await network.client.call(getCapture, { params });
    const isBegun = async (): Promise<boolean> => (await look()).state === 'running';
    await waitFor('the capture has begun', isBegun, { timeoutMs: CAPTURE_MS_MAX });
    await network.node(EDGE).service.kill();
    await network.node(EDGE).restart();
    const end = async (): Promise<Capture | undefined> => {
      const now = await look();
      return now.state === 'done' || now.state === 'failed' ? now : undefined;
    };
    captured = await waitFor('the capture is over', end, { timeoutMs: CAPTURE_MS_MAX });
    expect(captured).toMatchObject({ state: 'done', vm: CAPTURED, version: 1, message: null });
    delivered = await answering(await powered(delivered, 'on'));
    await expectSite(delivered);
  });

  it('is described by its edge as what it is now', async () => {
    const params = { vm: CAPTURED as Name };
    const { origin, state, description } = await network.client.call(describeVm, { params });
    expect({ origin, state }).toEqual({ origin: EDGE, state: 'pinned' });
    expect(description.packages.map(({ name }) => name)).toContain('nginx');
    const { vms } = await network.client.call(listVms, {});
    expect(vms.map(({ vm }) => vm).sort()).toEqual([VM, CAPTURED]);
  });
});

describe('a captured VM', () => {
  it('comes home with what it wrote, and little more crosses than that', async () => {
    await vmPlanned(network, CAPTURED, HOME);
    const begun = await beginTeleport(network, CAPTURED, 'eu-central');
    home = await teleportEnd(network, begun.teleport);
    expect(home).toMatchObject({ state: 'running', edge: HOME });
    const [disk] = home.disks;
    const { digest, wireBytes, diskBytes, virtualSizeBytes } = disk!;
    expect(wireBytes.origin).toBe(0);
    expect(wireBytes.peer).toBeGreaterThan(0);
    expect(wireBytes.peer).toBeLessThan(virtualSizeBytes / 1000);
    // No more than what the capture found written.
    expect(diskBytes.peer).toBeLessThanOrEqual(await writtenBytes());
    expect(wireBytes.peer).toBeLessThan(diskBytes.peer);
    const [here, there] = [
      await deliveredDisk(network.node(HOME).stateDir, digest),
      await deliveredDisk(network.node(EDGE).stateDir, digest),
    ];
    expect(await compareDisks(there, here)).toMatchObject({ isEqual: true });
    expect(await guestFile(here, '/var/log/nginx/access.log')).toContain(`GET /${PAGE} `);
    await expectSite(home);
  });

  it('is forgotten while its edge is away, which then drops its disks and nothing that runs', async () => {
    const edge = network.node(EDGE);
    const imagesThere = () => readdir(join(edge.stateDir, 'store', 'images'));
    const { description } = await network.client.call(describeVm, {
      params: { vm: CAPTURED as Name },
    });
    const digests = description.disks.map(({ digest }) => digest);
    expect(await imagesThere()).toEqual(expect.arrayContaining(digests));
    await edge.service.kill();
    // Nobody would ever do this order.
    await vmdn('capture', delivered.teleport, '--as', 'never');
    await expect(vmdn('forget', 'never')).rejects.toMatchObject({ code: 66 });
    expect(await vmdn('capture', delivered.teleport, '--cancel')).toContain('is ended');
    await vmdn('forget', CAPTURED);
    await expect(vmdn('forget', VM)).rejects.toMatchObject({ code: 65 });
    const { vms } = await network.client.call(listVms, {});
    expect(vms.map(({ vm }) => vm)).toEqual([VM]);
    await edge.restart();
    const areGone = async () => {
      const there = await imagesThere();
      return digests.every((digest) => !there.includes(digest));
    };
    await waitFor('its disks are gone', areGone, { timeoutMs: CAPTURE_MS_MAX });
    await expectSite(await powered(delivered, 'on'));
    await expectSite(home);
    expect(await imagesThere()).toContain(delivered.disks[0]!.digest);
  });
});
