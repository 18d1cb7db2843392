/**
 * Two edges that make the same disk at the same moment: each has something that the other lacks, and the
 * origin sends each part about once. Then one of them is stopped in the middle, and nothing breaks.
 */

import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { cancelTeleport, type Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  beginTeleport,
  compareDelivered,
  originSentBytes,
  removeVm,
  teleportEnd,
  teleportUntil,
  verifiedBytes,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, placeSeededVm } from '../harness/vms.ts';

const EDGES = ['dublin', 'singapore'] as const;
const DATA_MIB = 64;
/** Slow enough for each to hear of the other soon after the beginning. */
const UPLINK_BYTES_PER_SECOND = 6_000_000;
const VMS = ['traded', 'given-up'] as const;

let network: TestNetwork;
const sources = new Map<string, DiskFile>();

beforeAll(async () => {
  network = await startTestNetwork({
    edges: EDGES.map((region) => ({ name: `edge-${region}`, region })),
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND },
    vms: async (vmsDir) => {
      for (const vm of VMS) sources.set(vm, await placeSeededVm(vmsDir, vm, { dataMiB: DATA_MIB }));
    },
  });
  for (const vm of VMS) {
    await vmDescribed(network, vm);
    for (const region of EDGES) await vmPlanned(network, vm, `edge-${region}`);
  }
});
afterAll(async () => network?.[Symbol.asyncDispose]());

async function expectDelivered(teleport: Teleport, vm: string): Promise<void> {
  const { state, message, disks } = teleport;
  expect({ state, message }).toEqual({ state: 'running', message: null });
  expect(await compareDelivered(network, teleport, sources.get(vm)!)).toMatchObject({
    isEqual: true,
  });
  for (const { diskBytes } of disks) expect(totalTierBytes(diskBytes)).toBe(DATA_MIB * MIB);
}

function sum(teleports: readonly Teleport[], tier: 'peer' | 'origin'): number {
  const disks = teleports.flatMap((teleport) => teleport.disks);
  return disks.reduce((total, { diskBytes }) => total + diskBytes[tier], 0);
}

describe('two edges that are asked for the same VM at once', () => {
  it('need the origin for hardly more than one copy, and give each other the rest', async () => {
    const vm = 'traded';
    let ends: Teleport[] = [];
    onTestFinished(async () => {
      for (const end of ends) await removeVm(network, end);
    });
    const before = await originSentBytes(network);
    const begun = await Promise.all(EDGES.map((region) => beginTeleport(network, vm, region)));
    ends = await Promise.all(begun.map(({ teleport }) => teleportEnd(network, teleport)));
    const sent = (await originSentBytes(network)) - before;
    for (const end of ends) await expectDelivered(end, vm);
    for (const end of ends) expect(sum([end], 'peer')).toBeGreaterThan(0.1 * DATA_MIB * MIB);
    expect(sum(ends, 'peer') + sum(ends, 'origin')).toBe(2 * DATA_MIB * MIB);
    expect(sent).toBeGreaterThan(0.99 * DATA_MIB * MIB);
    expect(sent).toBeLessThan(1.15 * DATA_MIB * MIB);
  });

  it('do not need each other: one goes on when the other is called off in the middle', async () => {
    const vm = 'given-up';
    const before = await originSentBytes(network);
    const [kept, called] = await Promise.all(
      EDGES.map((region) => beginTeleport(network, vm, region)),
    );
    const isHalfWay = (now: Teleport): boolean => verifiedBytes(now) > (DATA_MIB * MIB) / 2;
    await teleportUntil(network, kept!.teleport, 'half of the disk is there', isHalfWay);
    await network.client.call(cancelTeleport, { params: { teleport: called!.teleport } });
    const end = await teleportEnd(network, kept!.teleport);
    await expectDelivered(end, vm);
    expect(sum([end], 'peer')).toBeGreaterThan(0);
    const sent = (await originSentBytes(network)) - before;
    expect(sent).toBeLessThan(1.5 * DATA_MIB * MIB);
    await removeVm(network, end);
  });
});
