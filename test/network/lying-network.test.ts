/**
 * A network that lies between an edge and its origin. Whatever it says, no byte that the recipe does
 * not promise becomes part of a disk; when it is honest again the teleport ends well.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Lie, type LyingProxy, startLyingProxy } from '../harness/lying-proxy.ts';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  teleportEnd,
  teleportUntil,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { placeSeededVm } from '../harness/vms.ts';

const EDGE = 'edge-1';
const LIES: readonly Lie[] = ['flipped', 'truncated', 'endless', 'cut', 'page', 'garbage'];
/** What a teleport may come to whose only source lies. */
const ENDS: ReadonlySet<string> = new Set(['waiting', 'failed', 'running']);

let network: TestNetwork;
let proxy: LyingProxy;
const sources = new Map<Lie, DiskFile>();

beforeAll(async () => {
  // The origin says that it is reached by way of the proxy: edges may ask before the network is all there.
  let started: TestNetwork | undefined;
  proxy = await startLyingProxy(() => started?.node(ORIGIN).service.url);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    origin: { settings: { VMDN_ADVERTISE_URL: proxy.url } },
    vms: async (vmsDir) => {
      for (const lie of LIES) sources.set(lie, await placeSeededVm(vmsDir, lie, { dataMiB: 6 }));
    },
  });
  started = network;
  for (const lie of LIES) {
    await vmDescribed(network, lie);
    await vmPlanned(network, lie, EDGE);
  }
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
});

/** Digests of the images that the edge holds. */
async function heldImages(): Promise<string[]> {
  return await readdir(join(network.node(EDGE).stateDir, 'store', 'images'));
}

describe('an origin whose answers are', () => {
  it.each(LIES)('%s: nothing of them gets in, and the truth does afterwards', async (lie) => {
    const source = sources.get(lie);
    if (source === undefined) throw new Error(`${lie} has no source`);
    const heldBefore = (await heldImages()).length;
    const liesBefore = proxy.lies;
    proxy.lie = lie;
    const { teleport } = await beginTeleport(network, lie, 'dublin');
    const given = await teleportUntil(network, teleport, 'it is over, or waits', ({ state }) =>
      ENDS.has(state),
    );
    expect(proxy.lies).toBeGreaterThan(liesBefore);
    if (given.state !== 'running') {
      expect(given.message).toMatch(/\w+ \w+/);
      expect((await heldImages()).length).toBe(heldBefore);
    } else {
      // All that was asked for had come, and was true, before the lie began.
      expect(lie).toBe('endless');
    }
    proxy.lie = 'honest';
    // With its only source given up for lost it may have failed: then somebody asks again.
    const first = await teleportEnd(network, teleport);
    if (first.state === 'failed') expect(first.errorCode).toBe('corrupt');
    const again = first.state === 'failed' ? await beginTeleport(network, lie, 'dublin') : first;
    const end = await teleportEnd(network, again.teleport);
    expect({ state: end.state, message: end.message }).toEqual({ state: 'running', message: null });
    expect(await compareDelivered(network, end, source)).toMatchObject({ isEqual: true });
    await removeVm(network, end);
    network.assertRunning();
  });
});
