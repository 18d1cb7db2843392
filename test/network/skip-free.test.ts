/**
 * A guest whose owner deleted a file is teleported with its free space left behind, by the tool that users
 * have: the file stays home, the guest boots and serves its site.
 */

import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { debugfs, fsck } from '@vmdn/core/io/inspect/free-space.fixture.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { deliveredDisk } from '@vmdn/infra/lab/edge-files.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vmDescribed } from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, seededBytes } from '../harness/vms.ts';

const VM = 'tiny';
const EDGE = 'edge-1';
/** The partition of the guest `tiny`; its file system has blocks of 1 KiB. */
const OFFSET_BYTES = 63 * 512;
const SECRET_MIB = 4;
const SECRET = seededBytes('a file that was deleted', SECRET_MIB * MIB);
const LAUNCHER = new URL('../../bin/vmdn.mjs', import.meta.url).pathname;
const BOOT_MS_MAX = 540_000;
const runner = createCommandRunner();

let network: TestNetwork;
let guest: Guest;
let source: DiskFile;
let delivered: Teleport;

async function vmdn(...args: string[]): Promise<string> {
  const env = { ...process.env, VMDN_CLIENT_FILE: network.clientFilePath };
  const options = { env, timeout: BOOT_MS_MAX, maxBuffer: 64 * 2 ** 20 };
  return (await promisify(execFile)(process.execPath, [LAUNCHER, ...args], options)).stdout;
}

/** How much of the deleted file lies on a disk: pieces of 1 KiB, each sought everywhere. */
async function piecesOnDisk({ path }: DiskFile): Promise<number> {
  const bytes = await readFile(path);
  let found = 0;
  for (let at = 0; at < SECRET.length; at += 64 * 1024) {
    if (bytes.includes(SECRET.subarray(at, at + 1024))) found += 1;
  }
  return found;
}

beforeAll(async () => {
  guest = await findGuest(VM);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    vms: async (vmsDir) => {
      source = await placeVm(guest, vmsDir);
      const secret = join(vmsDir, 'secret');
      await writeFile(secret, SECRET);
      const disk = { path: source.path, offsetBytes: OFFSET_BYTES };
      await debugfs(runner, disk, `write ${secret} secret`, 'rm secret');
    },
  });
  await vmDescribed(network, VM);
});
afterAll(async () => network?.[Symbol.asyncDispose]());

describe('a teleport that leaves free space behind', () => {
  it('says beforehand what stays home', async () => {
    const plan = await vmdn('plan', VM, '--near', 'london', '--skip-free');
    expect(plan).toMatch(/^skip-free: 4\.\d+ MB of free space stay home$/m);
  });

  it('runs the guest', async () => {
    const args = ['teleport', VM, '--near', 'london', '--skip-free', '--json'];
    delivered = JSON.parse((await vmdn(...args)).trimEnd().split('\n').at(-1) ?? '') as Teleport;
    expect(delivered).toMatchObject({ state: 'running', edge: EDGE, method: 'exact' });
    expect(delivered.skipFree?.kept).toEqual([]);
    const skippedBytes = delivered.skipFree?.skippedBytes ?? 0;
    expect(skippedBytes).toBeGreaterThanOrEqual(SECRET_MIB * MIB - 8192);
    expect(await vmdn('teleports')).toContain('exact, skip-free');
  });

  it('leaves the deleted file at home, and a file system that is clean', async () => {
    const [disk] = delivered.disks;
    if (disk === undefined) throw new Error('there is no disk');
    const here = await deliveredDisk(network.node(EDGE).stateDir, disk.digest);
    expect(await piecesOnDisk(source)).toBe(SECRET_MIB * 16);
    expect(await piecesOnDisk(here)).toBe(0);
    expect(await fsck(runner, { path: here.path, offsetBytes: OFFSET_BYTES })).toBe(0);
    expect(totalTierBytes(disk.diskBytes)).toBe(disk.virtualSizeBytes);
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
});
