/**
 * Whole networks in which one process after another is killed, several times in one teleport, at moments
 * that a seed chooses: an origin, an edge, a neighbour, a coordinator. Nobody helps; the teleport ends by
 * itself, and hardly anything crosses twice.
 *
 * VMDN_KILLS_SEED gives other moments; the seed stands in the words of a failure.
 */

import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import type { LabNode } from '@vmdn/infra/lab/network.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestsOf, type Gate, startGate } from '../harness/gate.ts';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  sentBytes,
  teleportEnd,
  teleportUntil,
  verifiedBytes,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, placeSeededVm, seededBytes } from '../harness/vms.ts';

const SEED = process.env.VMDN_KILLS_SEED ?? 'seed-1';
const [EDGE, NEIGHBOUR] = ['edge-dublin', 'edge-singapore'];
const DATA_MIB = 64;
/** Slow enough for three kills in one teleport. */
const UPLINK_BYTES_PER_SECOND = 4_000_000;
const VMS = ['undisturbed', 'origin', 'edge', 'neighbour', 'coordinator'] as const;
type Vm = (typeof VMS)[number];
/** Parts of the disk after which somebody dies; each comes up to a tenth later. */
const PARTS = [0.15, 0.45, 0.75];
/** Until a gate is still: requests of some MiB over this link, on a machine that does other things too. */
const STILL_MS_MAX = 120_000;

let gate: Gate;
let network: TestNetwork;
let undisturbedBytes: number;
const sources = new Map<Vm, DiskFile>();

beforeAll(async () => {
  gate = await startGate([ORIGIN, NEIGHBOUR]);
  const settings = { VMDN_UPLINK_BYTES_PER_SECOND: String(UPLINK_BYTES_PER_SECOND) };
  network = await startTestNetwork({
    edges: [
      { name: EDGE, region: 'dublin', settings },
      {
        name: NEIGHBOUR,
        region: 'singapore',
        settings: { ...settings, ...gate.settings(NEIGHBOUR) },
      },
    ],
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND, settings: gate.settings(ORIGIN) },
    vms: async (vmsDir) => {
      for (const vm of VMS) {
        sources.set(vm, await placeSeededVm(vmsDir, vm, { dataMiB: DATA_MIB }));
      }
    },
  });
  gate.leadTo(network);
  for (const vm of VMS) {
    await vmDescribed(network, vm);
    for (const edge of [EDGE, NEIGHBOUR]) await vmPlanned(network, vm, edge);
  }
  const undisturbed = await delivered('undisturbed', 'dublin');
  undisturbedBytes = receivedBytes(undisturbed);
  await removeVm(network, undisturbed);
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await gate?.[Symbol.asyncDispose]();
});

/**
 * Kills and restarts a process three times in the course of a teleport. No more comes than what is wanted
 * before the next kill, and the rest of one request: each kill comes in the middle.
 */
async function killInTheCourseOf(vm: Vm, near: string, victim: LabNode): Promise<Teleport> {
  const [digest] = await digestsOf(network, vm);
  // Another edge may have had the disk.
  const before = gate.passedBytes(digest!);
  const moments = PARTS.map((part, number) => {
    const chance = seededBytes(`${SEED}/${victim.name}/${number}`, 4).readUInt32LE() / 2 ** 32;
    return (part + chance / 10) * DATA_MIB * MIB;
  });
  gate.allow(digest!, before + moments[0]!);
  const begun = await beginTeleport(network, vm, near);
  for (const [number, moment] of moments.entries()) {
    // A little of what came is lost with an answer that breaks off: then all has come that may.
    const isThere = (now: Teleport): boolean =>
      verifiedBytes(now) >= moment || gate.isStill(digest!);
    await teleportUntil(network, begun.teleport, `${moment} bytes are there`, isThere);
    if (victim === network.node(EDGE)) await nothingIsUnderWay(begun, digest!, before);
    await victim.service.kill();
    expect(gate.passedBytes(digest!) - before).toBeLessThan(DATA_MIB * MIB);
    // Whoever asked may be dead, or who was asked: neither is to be served as if nothing had happened.
    gate.refuse(digest!);
    gate.allow(digest!, before + (moments[number + 1] ?? Number.POSITIVE_INFINITY));
    await victim.restart();
  }
  return begun;
}

/**
 * What an edge dies with that it had not read yet is sent twice, however much the kernel held for it. So it
 * dies with all that was sent verified, if not durable, and more asked for.
 */
async function nothingIsUnderWay(
  { teleport }: Teleport,
  digest: string,
  before: number,
): Promise<void> {
  const isStill = (): boolean => gate.isStill(digest);
  await waitFor('nothing is under way', isStill, { timeoutMs: STILL_MS_MAX });
  const passed = gate.passedBytes(digest) - before;
  await teleportUntil(network, teleport, `${passed} bytes are verified`, (now) => {
    return verifiedBytes(now) >= passed;
  });
}

async function delivered(vm: Vm, near: string, victim?: LabNode): Promise<Teleport> {
  const begun =
    victim === undefined
      ? await beginTeleport(network, vm, near)
      : await killInTheCourseOf(vm, near, victim);
  const end = await teleportEnd(network, begun.teleport);
  expect({ seed: SEED, state: end.state, message: end.message }).toEqual({
    seed: SEED,
    state: 'running',
    message: null,
  });
  expect(await compareDelivered(network, end, sources.get(vm)!)).toMatchObject({ isEqual: true });
  for (const disk of end.disks) expect(totalTierBytes(disk.diskBytes)).toBe(DATA_MIB * MIB);
  return end;
}

/** By the receiving edge's own count. */
function receivedBytes({ disks }: Teleport): number {
  return disks.reduce((sum, { wireBytes }) => sum + wireBytes.peer + wireBytes.origin, 0);
}

function expectLittleTwice(bytes: number): void {
  const words = `seed ${SEED}: ${bytes} bytes crossed, ${undisturbedBytes} without a kill`;
  expect(bytes, words).toBeGreaterThan(0.99 * undisturbedBytes);
  expect(bytes, words).toBeLessThan(1.05 * undisturbedBytes);
}

describe('a teleport goes on by itself, with hardly a byte more, when it is killed three times over:', () => {
  it('its origin', async () => {
    const end = await delivered('origin', 'dublin', network.node(ORIGIN));
    expectLittleTwice(receivedBytes(end));
    await removeVm(network, end);
  });

  it('its edge', async () => {
    const before = await sentBytes(network, ORIGIN);
    const end = await delivered('edge', 'dublin', network.node(EDGE));
    // What a killed edge had received it can't tell: the origin's count is the true one.
    expectLittleTwice((await sentBytes(network, ORIGIN)) - before);
    await removeVm(network, end);
  });

  it('the neighbour that has the disk', async () => {
    await removeVm(network, await delivered('neighbour', 'singapore'));
    const end = await delivered('neighbour', 'dublin', network.node(NEIGHBOUR));
    expectLittleTwice(receivedBytes(end));
    expect(end.disks[0]?.diskBytes.peer).toBeGreaterThan(0);
    await removeVm(network, end);
  });

  it('the coordinator', async () => {
    const end = await delivered('coordinator', 'dublin', network.coordinator);
    expectLittleTwice(receivedBytes(end));
    await removeVm(network, end);
  });
});
