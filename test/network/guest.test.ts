/**
 * The main job, from end to end and by the tool that users have: a real Debian guest is teleported to
 * an edge that holds its base image, proved, booted, and its web site read.
 */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Name } from '@vmdn/core/domain/names.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import {
  describeVm,
  listImages,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  teleportUntil,
  vmDescribed,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const VM = 'web-02';
const BASE = 'debian-12-base';
const EDGE = 'edge-1';
const LAUNCHER = new URL('../../bin/vmdn.mjs', import.meta.url).pathname;
const PLAN_MS_MAX = 180_000;
const BOOT_MS_MAX = 540_000;

let network: TestNetwork;
let guest: Guest;
let source: DiskFile;
let delivered: Teleport;

/** Runs the tool as a user does, on the network's client file. Rejects on a non-zero exit code. */
async function vmdn(...args: string[]): Promise<string> {
  const env = { ...process.env, VMDN_CLIENT_FILE: network.clientFilePath };
  const options = { env, timeout: BOOT_MS_MAX, maxBuffer: 64 * 2 ** 20 };
  return (await promisify(execFile)(process.execPath, [LAUNCHER, ...args], options)).stdout;
}

beforeAll(async () => {
  guest = await findGuest(VM);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    vms: async (vmsDir) => {
      source = await placeVm(guest, vmsDir);
    },
  });
  const { disk } = await findGuest(BASE);
  await vmdn(
    'image',
    'import',
    disk.path,
    '--edge',
    EDGE,
    '--name',
    BASE,
    '--format',
    disk.format,
    '--wait',
  );
  await vmDescribed(network, VM);
  const isPlannedFromBase = async (): Promise<boolean> => {
    const { scores } = await network.client.call(describeVm, { params: { vm: VM as Name } });
    return scores.some(({ disks }) => disks.some(({ diskBytes }) => diskBytes.local > 0));
  };
  await waitFor('the plan uses the base image', isPlannedFromBase, { timeoutMs: PLAN_MS_MAX });
});
afterAll(async () => network?.[Symbol.asyncDispose]());

describe('a real guest', () => {
  it('is teleported near its users and boots', async () => {
    const lines = (await vmdn('teleport', VM, '--near', 'london', '--json')).trimEnd().split('\n');
    delivered = JSON.parse(lines.at(-1) ?? '') as Teleport;
    expect(delivered).toMatchObject({ state: 'running', edge: EDGE, message: null });
  });

  it('has the disk of its source, to the byte', async () => {
    expect(await compareDelivered(network, delivered, source)).toMatchObject({ isEqual: true });
  });

  it('came mostly from what was near, and every byte is accounted for', () => {
    const [disk] = delivered.disks;
    if (disk === undefined) throw new Error('there is no disk');
    const { diskBytes, virtualSizeBytes, verifiedBytes } = disk;
    expect(totalTierBytes(diskBytes)).toBe(virtualSizeBytes);
    expect(verifiedBytes).toBe(virtualSizeBytes);
    expect(diskBytes.origin).toBeGreaterThan(0);
    expect(diskBytes.local).toBeGreaterThan(2 * diskBytes.origin);
  });

  it('serves every file of its web site as its builder made it', async () => {
    const [endpoint] = delivered.endpoints;
    if (endpoint === undefined || guest.siteManifestPath === null)
      throw new Error('there is no site');
    const url = `http://${endpoint.host}:${endpoint.hostPort}/`;
    const proof = await proveSite(url, guest.siteManifestPath);
    expect(proof.differences).toEqual([]);
    expect(proof.files).toBeGreaterThan(0);
  });

  it('is counted as a partial hit by the statistics', async () => {
    const { total } = JSON.parse(await vmdn('stats', '--json'));
    expect(total.requests).toEqual({ hit: 0, partial: 1, miss: 0 });
  });

  it('needs nothing of its origin the second time', async () => {
    await removeVm(network, delivered);
    const { teleport } = await beginTeleport(network, VM, 'london');
    const hasDisk = ({ state, disks }: Teleport): boolean =>
      disks.length > 0 && (state === 'booting' || state === 'running');
    const again = await teleportUntil(network, teleport, 'the disk is there', hasDisk);
    const [disk] = again.disks;
    expect(disk?.diskBytes.origin).toBe(0);
    expect(disk?.wireBytes.origin).toBe(0);
    delivered = again;
  });

  it('goes with its snapshot where that is wished, and the base image stays', async () => {
    const held = async (): Promise<readonly string[]> => {
      const { images } = await network.client.call(listImages, {});
      return images
        .filter(({ holders }) => holders.some(({ node }) => node === delivered.edge))
        .map(({ digest }) => digest);
    };
    const { digest } = delivered.disks[0]!;
    const before = await held();
    expect(before).toContain(digest);
    await vmdn('cancel', delivered.teleport, '--drop-snapshot');
    const isGone = async (): Promise<boolean> => !(await held()).includes(digest);
    await waitFor('the snapshot is gone', isGone, { timeoutMs: 60_000 });
    expect(await held()).toEqual(before.filter((one) => one !== digest));
    const late = vmdn('cancel', delivered.teleport, '--drop-snapshot');
    await expect(late).resolves.toContain('being stopped');
  });
});
