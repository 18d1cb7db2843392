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
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

let network: TestNetwork;
let undisturbedBytes: number;
const sources = new Map<Vm, DiskFile>();

beforeAll(async () => {
  const settings = { VMDN_UPLINK_BYTES_PER_SECOND: String(UPLINK_BYTES_PER_SECOND) };
  network = await startTestNetwork({
    edges: [
      { name: EDGE, region: 'dublin', settings },
      { name: NEIGHBOUR, region: 'singapore', settings },
    ],
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND },
    vms: async (vmsDir) => {
      for (const vm of VMS) {
        sources.set(vm, await placeSeededVm(vmsDir, vm, { dataMiB: DATA_MIB }));
      }
    },
  });
  for (const vm of VMS) {
    await vmDescribed(network, vm);
    for (const edge of [EDGE, NEIGHBOUR]) await vmPlanned(network, vm, edge);
  }
  const undisturbed = await delivered('undisturbed', 'dublin');
  undisturbedBytes = receivedBytes(undisturbed);
  await removeVm(network, undisturbed);
});
afterAll(async () => network?.[Symbol.asyncDispose]());

/** Kills and restarts a process three times in the course of a teleport that has begun. */
async function killInTheCourseOf({ teleport }: Teleport, victim: LabNode): Promise<void> {
  for (const [number, part] of PARTS.entries()) {
    const chance = seededBytes(`${SEED}/${victim.name}/${number}`, 4).readUInt32LE() / 2 ** 32;
    const moment = (part + chance / 10) * DATA_MIB * MIB;
    await teleportUntil(network, teleport, `${moment} bytes are there`, (now) => {
      return verifiedBytes(now) >= moment;
    });
    await victim.service.kill();
    await victim.restart();
  }
}

async function delivered(vm: Vm, near: string, victim?: LabNode): Promise<Teleport> {
  const begun = await beginTeleport(network, vm, near);
  if (victim !== undefined) await killInTheCourseOf(begun, victim);
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
