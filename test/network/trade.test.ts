/**
 * Two edges that make the same disk at the same moment: each has something that the other lacks, and the
 * origin sends each part about once. Then one of them is stopped in the middle, and nothing breaks.
 */

import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { cancelTeleport, type Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
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

const EDGES = ['dublin', 'singapore'] as const;
const DATA_MIB = 64;
/** Slow enough for each to have something that the other lacks for a while. */
const UPLINK_BYTES_PER_SECOND = 6_000_000;
const VMS = ['traded', 'given-up'] as const;
/** Until each edge has heard of the other: some heartbeats. */
const HEARD_MS_MAX = 120_000;
/** What the origin sends of the second disk before one of the two is called off: that is in the middle. */
const FIRST_MIB = 48;

let gate: Gate;
/** In front of the edges: holds nothing, and tells who was asked what it has. */
let ears: Gate;
let network: TestNetwork;
const sources = new Map<string, DiskFile>();

beforeAll(async () => {
  const names = EDGES.map((region) => `edge-${region}`);
  gate = await startGate([ORIGIN]);
  ears = await startGate(names);
  network = await startTestNetwork({
    edges: EDGES.map((region, i) => {
      return { name: names[i]!, region, settings: ears.settings(names[i]!) };
    }),
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND, settings: gate.settings(ORIGIN) },
    vms: async (vmsDir) => {
      for (const vm of VMS) sources.set(vm, await placeSeededVm(vmsDir, vm, { dataMiB: DATA_MIB }));
    },
  });
  gate.leadTo(network);
  ears.leadTo(network);
  for (const vm of VMS) {
    await vmDescribed(network, vm);
    for (const region of EDGES) await vmPlanned(network, vm, `edge-${region}`);
  }
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await gate?.[Symbol.asyncDispose]();
  await ears?.[Symbol.asyncDispose]();
});

/**
 * Asks both edges for a VM. Nothing of its disk comes before each has heard of the other: what they asked for
 * until then, each as if alone, is refused, and they ask anew. Where each begins is chosen by chance.
 */
async function beginBoth(vm: string, digest: string): Promise<Teleport[]> {
  gate.allow(digest, 0);
  const begun = await Promise.all(EDGES.map((region) => beginTeleport(network, vm, region)));
  const haveHeard = (): boolean => ears.tellers(digest).length === EDGES.length;
  await waitFor('each has heard of the other', haveHeard, { timeoutMs: HEARD_MS_MAX });
  expect(gate.passedBytes(digest)).toBe(0);
  gate.refuse(digest);
  return begun;
}

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
    const [digest] = await digestsOf(network, vm);
    const begun = await beginBoth(vm, digest!);
    gate.open(digest!);
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
    const [digest] = await digestsOf(network, vm);
    const [kept, called] = await beginBoth(vm, digest!);
    gate.allow(digest!, FIRST_MIB * MIB);
    const isHalfWay = (now: Teleport): boolean => verifiedBytes(now) > (DATA_MIB * MIB) / 2;
    await teleportUntil(network, kept!.teleport, 'half of the disk is there', isHalfWay);
    await network.client.call(cancelTeleport, { params: { teleport: called!.teleport } });
    expect(gate.passedBytes(digest!)).toBeLessThan(DATA_MIB * MIB);
    gate.open(digest!);
    const end = await teleportEnd(network, kept!.teleport);
    await expectDelivered(end, vm);
    expect(sum([end], 'peer')).toBeGreaterThan(0);
    const sent = (await originSentBytes(network)) - before;
    expect(sent).toBeLessThan(1.5 * DATA_MIB * MIB);
    await removeVm(network, end);
  });
});
