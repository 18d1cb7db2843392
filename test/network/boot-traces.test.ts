/**
 * What a guest read when it booted at one edge is fetched first at the next one, which has nothing else of
 * it; and what an edge signs for what it delivered.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Id } from '@vmdn/core/domain/names.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { verifyReceipt } from '@vmdn/core/http/auth/signed-receipt.ts';
import {
  cancelTeleport,
  getReceipt,
  type KeptReceipt,
  listEdges,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  beginTeleport,
  removeVm,
  teleportUntil,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const [FIRST, SECOND, THIRD] = ['edge-1', 'edge-2', 'edge-3'];
const [VM, RELATIVE] = ['tiny', 'tiny-2'];
/** Slow enough for a guest to wait. */
const UPLINK_BYTES_PER_SECOND = 1_000_000;
const RECEIPT_MS_MAX = 120_000;
const BOOT_MS_MAX = 300_000;
/** Each edge has the origin and nobody else. */
const settings = { VMDN_TELEPORT_PEERS: 'false' };

let network: TestNetwork;
let guest: Guest;
let first: Teleport;
let second: Teleport;

beforeAll(async () => {
  guest = await findGuest(VM);
  network = await startTestNetwork({
    edges: [
      { name: FIRST, region: 'london', settings },
      { name: SECOND, region: 'tokyo', settings },
      { name: THIRD, region: 'sydney', settings },
    ],
    origin: { uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND },
    vms: async (vmsDir) => {
      await placeVm(guest, vmsDir);
      await placeVm(guest, vmsDir, RELATIVE);
    },
  });
  for (const vm of [VM, RELATIVE]) await vmDescribed(network, vm);
  for (const edge of [FIRST, SECOND]) await vmPlanned(network, VM, edge);
  await vmPlanned(network, RELATIVE, THIRD);
});
afterAll(async () => network?.[Symbol.asyncDispose]());

const isDone = ({ independentAt }: Teleport): boolean => independentAt !== null;

/** Teleports lazily; resolves when the guest answers. */
async function boot(vm: string, near: string): Promise<Teleport> {
  const begun = await beginTeleport(network, vm, near, { lazy: true });
  const isUp = ({ state }: Teleport): boolean => state === 'running';
  return await teleportUntil(network, begun.teleport, 'it runs', isUp);
}

/** Until the coordinator has kept the trace of a teleport. */
async function traceKept(teleport: Id): Promise<void> {
  const isKept = async (): Promise<boolean> => {
    const lines = (await network.logOf('coordinator')).split('\n');
    return lines.some((line) => line.includes('boot_trace_kept') && line.includes(teleport));
  };
  await waitFor('the trace is kept', isKept, { timeoutMs: RECEIPT_MS_MAX });
}

async function receiptOf({ teleport }: Teleport): Promise<KeptReceipt> {
  const probe = async (): Promise<KeptReceipt | undefined> =>
    await network.client.call(getReceipt, { params: { teleport } }).catch(() => undefined);
  return await waitFor('the receipt is there', probe, { timeoutMs: RECEIPT_MS_MAX });
}

async function expectReceipt(teleport: Teleport): Promise<void> {
  const { receipt, jws, edge } = await receiptOf(teleport);
  expect(await verifyReceipt(jws, edge.publicKey)).toEqual(receipt);
  const { stallSeconds, trace, vm, version, lazy } = teleport;
  expect(receipt).toMatchObject({ vm, version, lazy, stallSeconds, trace });
  expect(receipt.disks).toHaveLength(teleport.disks.length);
  for (const [
    index,
    { digest, virtualSizeBytes, wireBytes, diskBytes },
  ] of receipt.disks.entries()) {
    expect(teleport.disks[index]).toMatchObject({ digest, wireBytes, diskBytes });
    expect(totalTierBytes(diskBytes)).toBe(virtualSizeBytes);
  }
  const { requested, verified, running, independent } = receipt.times;
  expect(Date.parse(requested)).toBeLessThan(Date.parse(running));
  expect(Date.parse(verified)).toBeLessThanOrEqual(Date.parse(independent));
}

describe('what a guest read until it was ready', () => {
  it('is recorded where nobody had booted it before', async () => {
    first = await boot(VM, 'london');
    expect(first).toMatchObject({ edge: FIRST, trace: null });
    expect(first.stallSeconds).toBeGreaterThan(0);
    await traceKept(first.teleport);
  });

  it('comes first at an edge that has nothing of it', async () => {
    second = await boot(VM, 'tokyo');
    expect(second.edge).toBe(SECOND);
    const { segments, bytes } = second.trace!;
    expect(segments).toBeGreaterThan(10);
    expect(bytes).toBeGreaterThan(segments * 4096 - 1);
    const [disk] = second.disks;
    expect(bytes).toBeLessThan(disk!.virtualSizeBytes / 2);
    expect(second.stallSeconds).not.toBeNull();
  });

  it('is known by its content to another VM of the same system', async () => {
    const third = await boot(RELATIVE, 'sydney');
    expect(third.edge).toBe(THIRD);
    // Each boot reads a little more or less than the one before.
    expect(third.trace!.segments).toBeGreaterThan(second.trace!.segments / 2);
    await removeVm(network, third);
  });
});

describe('the receipt of a teleport', () => {
  it('of a lazy VM says what it waited for, and what was delivered', async () => {
    for (const teleport of [first, second]) {
      await expectReceipt(
        await teleportUntil(network, teleport.teleport, 'it needs nobody', isDone),
      );
    }
    await removeVm(network, second);
  });

  it('of a VM that began on complete disks outlives kills of both sides', async () => {
    const begun = await beginTeleport(network, VM, 'london');
    const boots = ({ state }: Teleport): boolean => state === 'booting';
    await teleportUntil(network, begun.teleport, 'it boots', boots);
    await network.coordinator.service.kill();
    // The guest does not need a coordinator to come up.
    const unsent = join(network.node(FIRST).stateDir, 'unsent-receipts');
    const files = (): Promise<string[]> => readdir(unsent);
    const isWritten = async (): Promise<boolean> =>
      (await files()).includes(`${begun.teleport}.json`);
    await waitFor('the receipt is signed', isWritten, { timeoutMs: BOOT_MS_MAX });
    await network.node(FIRST).service.kill();
    await network.coordinator.restart();
    await network.node(FIRST).restart();
    const again = await teleportUntil(network, begun.teleport, 'it needs nobody', isDone);
    expect(again).toMatchObject({ lazy: false, stallSeconds: null, trace: null });
    await expectReceipt(again);
    const isSent = async (): Promise<boolean> => (await files()).length === 0;
    await waitFor('nothing is left to send', isSent, { timeoutMs: RECEIPT_MS_MAX });
    const { nodes } = await network.client.call(listEdges, {});
    expect(nodes.map(({ refusedReceipts }) => refusedReceipts)).toEqual(nodes.map(() => 0));
    await network.client.call(cancelTeleport, { params: { teleport: again.teleport } });
    await removeVm(network, first);
  });
});
