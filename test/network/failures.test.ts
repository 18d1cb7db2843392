/**
 * Whole networks in which something dies in the middle of a teleport: the origin, the edge, the
 * coordinator. The teleport goes on where it was, and the disk is the source's.
 */

import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { cacheStatistics } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import type { LabNode } from '@vmdn/infra/lab/network.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestsOf, type Gate, startGate } from '../harness/gate.ts';
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
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, placeSeededVm } from '../harness/vms.ts';

const EDGE = 'edge-1';
const DATA_MIB = 48;
/** Slow enough for something to be under way when somebody dies. */
const UPLINK_BYTES_PER_SECOND = 6_000_000;
/** Before somebody is dead no more comes: the middle lasts as long as it takes. */
const FIRST_MIB = 24;
const VMS = ['origin-dies', 'edge-dies', 'coordinator-dies'] as const;

let gate: Gate;
let network: TestNetwork;
const sources = new Map<string, DiskFile>();

beforeAll(async () => {
  gate = await startGate([ORIGIN]);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND, settings: gate.settings(ORIGIN) },
    vms: async (vmsDir) => {
      for (const vm of VMS)
        sources.set(vm, await placeSeededVm(vmsDir, vm, { dataMiB: DATA_MIB, sizeMiB: 64 }));
    },
  });
  gate.leadTo(network);
  for (const vm of VMS) {
    await vmDescribed(network, vm);
    await vmPlanned(network, vm, EDGE);
  }
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await gate?.[Symbol.asyncDispose]();
});

/** Starts a teleport, and kills somebody when a part of the disk, and not all of it, is verified. */
async function killInTheMiddle(vm: string, victim: LabNode): Promise<Teleport> {
  const [digest] = await digestsOf(network, vm);
  gate.allow(digest!, FIRST_MIB * MIB);
  const { teleport } = await beginTeleport(network, vm, 'dublin');
  const zeros = (64 - DATA_MIB) * MIB;
  const isHalfWay = (now: Teleport): boolean => verifiedBytes(now) > zeros + 8 * MIB;
  const middle = await teleportUntil(network, teleport, 'a part of the disk is there', isHalfWay);
  await victim.service.kill();
  expect(gate.passedBytes(digest!)).toBeLessThan(DATA_MIB * MIB);
  gate.open(digest!);
  return middle;
}

/** Little is fetched twice: what crossed the link is hardly more than the disk. */
function expectLittleTwice(wireBytes: number): void {
  expect(wireBytes).toBeGreaterThan(DATA_MIB * MIB * 0.99);
  expect(wireBytes).toBeLessThan(DATA_MIB * MIB * 1.25);
}

/** By the edge's own count. */
function receivedBytes(teleport: Teleport): number {
  return teleport.disks.reduce((sum, disk) => sum + disk.wireBytes.origin, 0);
}

async function expectDelivered(teleport: Teleport, vm: string): Promise<void> {
  expect({ state: teleport.state, message: teleport.message }).toEqual({
    state: 'running',
    message: null,
  });
  const source = sources.get(vm);
  if (source === undefined) throw new Error(`${vm} has no source`);
  expect(await compareDelivered(network, teleport, source)).toMatchObject({ isEqual: true });
  await removeVm(network, teleport);
}

describe('a teleport', () => {
  it('waits while its origin is away, and goes on when it is back', async () => {
    const vm = 'origin-dies';
    const { teleport } = await killInTheMiddle(vm, network.node(ORIGIN));
    const waiting = await teleportUntil(
      network,
      teleport,
      'it waits',
      ({ state }) => state === 'waiting',
    );
    expect(waiting.message).toContain(ORIGIN);
    await network.node(ORIGIN).restart();
    const delivered = await teleportEnd(network, teleport);
    await expectDelivered(delivered, vm);
    expectLittleTwice(receivedBytes(delivered));
  });

  it('goes on from what was verified when its edge was killed', async () => {
    const vm = 'edge-dies';
    const before = await originSentBytes(network);
    const { teleport } = await killInTheMiddle(vm, network.node(EDGE));
    await network.node(EDGE).restart();
    await expectDelivered(await teleportEnd(network, teleport), vm);
    expectLittleTwice((await originSentBytes(network)) - before);
  });

  it('goes on without its coordinator, and boots when that is back', async () => {
    const vm = 'coordinator-dies';
    const { teleport, disks } = await killInTheMiddle(vm, network.coordinator);
    const digest = disks[0]?.digest ?? '';
    const isDelivered = async (): Promise<boolean> => {
      const lines = (await network.logOf(EDGE)).split('\n');
      return lines.some((line) => line.includes('"disk_delivered"') && line.includes(digest));
    };
    await waitFor('the disk is there', isDelivered, { timeoutMs: 60_000 });
    await network.coordinator.restart();
    const delivered = await teleportEnd(network, teleport);
    await expectDelivered(delivered, vm);
    expectLittleTwice(receivedBytes(delivered));
  });

  it('is counted once, whatever happened in between', async () => {
    const { total, byVm } = await network.client.call(cacheStatistics, {});
    expect(total.requests).toEqual({ hit: 0, partial: 0, miss: VMS.length });
    for (const { diskBytes } of byVm) expect(totalTierBytes(diskBytes)).toBe(64 * MIB);
  });
});
