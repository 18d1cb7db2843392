/**
 * An edge whose disk fills up in the middle of a teleport: it says so, waits, and goes on when there is
 * room again. The disk is a small file system in memory, which takes root to mount.
 */

import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { runTool } from '@vmdn/infra/lab/tools.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  teleportEnd,
  teleportUntil,
  verifiedBytes,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, placeSeededVm } from '../harness/vms.ts';

const VM = 'filling';
const EDGE = 'edge-1';
const DATA_MIB = 48;
const isRoot = process.getuid?.() === 0;
const TOOL = { timeoutMs: 60_000 };

let network: TestNetwork;
let source: DiskFile;
let edgeDir = '';

beforeAll(async () => {
  if (!isRoot) return;
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    origin: { uplinkBytesPerSecond: 6_000_000 },
    vms: async (vmsDir) => {
      source = await placeSeededVm(vmsDir, VM, { dataMiB: DATA_MIB });
      // Where the edge will keep its state; with room for the overlay that a guest may write.
      edgeDir = join(vmsDir, '..', 'net', EDGE);
      await mkdir(edgeDir, { recursive: true });
      await runTool(['mount', '-t', 'tmpfs', '-o', 'size=1g,mode=0711', 'tmpfs', edgeDir], TOOL);
    },
  });
  await vmDescribed(network, VM);
  await vmPlanned(network, VM, EDGE);
});
afterAll(async () => {
  if (!isRoot) return;
  await network?.stop();
  await runTool(['umount', '--', edgeDir], TOOL);
  await network?.[Symbol.asyncDispose]();
});

describe('a full disk', () => {
  it.skipIf(!isRoot)('(needs root) holds a teleport up, and room lets it go on', async () => {
    const { teleport } = await beginTeleport(network, VM, 'dublin');
    const isUnderWay = (now: Teleport): boolean => verifiedBytes(now) > 4 * MIB;
    await teleportUntil(network, teleport, 'a part of the disk is there', isUnderWay);
    const ballast = join(edgeDir, 'ballast');
    const { bavail, bsize } = await statfs(edgeDir);
    await runTool(['fallocate', '-l', String(bavail * bsize - MIB), '--', ballast], TOOL);
    const waiting = await teleportUntil(
      network,
      teleport,
      'it waits',
      ({ state }) => state === 'waiting',
    );
    expect(waiting.message).toMatch(/full|room|space/i);
    network.assertRunning();
    await rm(ballast);
    const end = await teleportEnd(network, teleport);
    expect({ state: end.state, message: end.message }).toEqual({ state: 'running', message: null });
    expect(await compareDelivered(network, end, source)).toMatchObject({ isEqual: true });
    await removeVm(network, end);
  });
});
