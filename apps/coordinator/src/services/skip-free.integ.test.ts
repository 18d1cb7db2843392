import { randomUUID } from 'node:crypto';
import type { Description, SkipFreeDisk } from '@vmdn/core/domain/description.ts';
import { OVERLAY_HEADROOM_BYTES } from '@vmdn/core/domain/overlay-room.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import * as reports from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import {
  announce,
  beat,
  delivery,
  describeTestVm,
  digest,
  enrolTestNode,
  name,
  report,
  type TestNode,
} from '../testing/test-network.ts';

const [WHOLE, LESS] = [digest('a'), digest('b')];
const LESS_BYTES = 262_144;
const WHOLE_BYTES = 1_048_576;
const kept = ['volume 2: XFS is not understood'];
const skipFree: SkipFreeDisk = {
  ...{ digest: LESS, nonZeroBytes: LESS_BYTES, keysRoot: digest('f'), recipeBytes: 1024, kept },
};

const network = coordinatorPerTest();
let edge: TestNode;

function described(vm: string, disk: Partial<Description['disks'][number]>): Description {
  const description = describeTestVm(vm, 1, WHOLE);
  return { ...description, disks: [{ ...description.disks[0]!, ...disk }] };
}

/** An origin that looks for free space, with one VM, and an edge. */
async function start(): Promise<void> {
  const origin = await enrolTestNode(network, { kind: 'origin', name: 'origin-1' });
  await beat(origin);
  await announce(origin, described('web-01', { skipFree }));
  await announce(origin, described('old-01', {}));
  edge = await enrolTestNode(network, { kind: 'edge', name: 'dublin', region: 'eu-west' });
  await beat(edge);
}

async function request(changes: object = {}): Promise<Teleport> {
  const body = { vm: name('web-01'), near: { region: name('eu-west') }, ...changes };
  return await network.user.call(client.requestTeleport, { body });
}

/** The disks of the grant that the edge gets for a teleport, and what it is told. */
async function orderFor(teleport: Teleport) {
  const { teleports, versions } = await edge.client.call(node.desiredState, {});
  const desired = teleports.find((one) => one.teleport === teleport.teleport);
  const disksOf = (token = ''): unknown =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).disks;
  return {
    skipFree: desired?.skipFree,
    granted: disksOf(desired?.grant),
    recipes: disksOf(versions.find(({ vm }) => vm === teleport.vm)?.recipeGrant),
  };
}

describe('a teleport without free space', () => {
  it('says what is skipped, is granted those disks and no others, and is shown as such', async () => {
    await start();
    const teleport = await request({ skipFree: true });
    const skipped = { skippedBytes: WHOLE_BYTES - LESS_BYTES, kept };
    expect(teleport).toMatchObject({ method: 'exact', skipFree: skipped });
    expect(await orderFor(teleport)).toEqual({ skipFree: true, granted: [LESS], recipes: [WHOLE] });
    const { teleports } = await network.user.call(client.listTeleports, {});
    expect(teleports).toEqual([teleport]);
    const body = { vm: name('web-01'), near: { region: name('eu-west') }, skipFree: true };
    const plan = await network.user.call(client.planTeleport, { body });
    expect(plan).toMatchObject({ method: 'exact', skipFree: skipped });
  });

  it('is not what a request means that says nothing of it', async () => {
    await start();
    const teleport = await request({ method: 'exact' });
    expect(teleport).toMatchObject({ method: 'exact', skipFree: null });
    expect(await orderFor(teleport)).toEqual({
      skipFree: false,
      granted: [WHOLE],
      recipes: [WHOLE],
    });
  });

  it('is another request than one with it, also under the same request id', async () => {
    await start();
    const requestId = randomUUID();
    const first = await request({ requestId, skipFree: true });
    const again = await request({ requestId, skipFree: true, method: 'exact' });
    expect(again.teleport).toBe(first.teleport);
    await expect(request({ requestId })).rejects.toMatchObject({ code: 'conflict' });
    await expect(request({ requestId, skipFree: false })).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  it('takes reports on its own disks only, and counts as one request', async () => {
    await start();
    const { teleport } = await request({ skipFree: true });
    const other = report(edge, teleport, { disks: [delivery(WHOLE, { origin: 1 })] });
    await expect(other).rejects.toMatchObject({ code: 'invalid_input' });
    const done = delivery(LESS, { zero: 4_194_304 - LESS_BYTES, origin: LESS_BYTES });
    await report(edge, teleport, { disks: [done] });
    const view = await network.user.call(client.getTeleport, { params: { teleport } });
    expect(view.disks).toEqual([done]);
    const { total } = await network.user.call(client.cacheStatistics, {});
    expect(total.requests).toEqual({ hit: 0, partial: 0, miss: 1 });
    const grant = await edge.client.call(reports.renewGrant, {
      params: { teleport },
      body: { epoch: 1 },
    });
    expect(Buffer.from(grant.grant.split('.')[1]!, 'base64url').toString()).toContain(LESS);
  });

  it('needs the room of its own disks', async () => {
    await start();
    await beat(edge, { freeStoreBytes: OVERLAY_HEADROOM_BYTES + LESS_BYTES });
    await expect(request()).rejects.toMatchObject({ code: 'no_room' });
    await request({ skipFree: true });
    await expect(request({ skipFree: true })).rejects.toMatchObject({ code: 'no_room' });
  });

  it('of a VM whose origin looks for no free space delivers the disk as it is, and says so', async () => {
    await start();
    const teleport = await request({ vm: name('old-01'), skipFree: true });
    expect(teleport.skipFree?.skippedBytes).toBe(0);
    expect(teleport.skipFree?.kept).toEqual([expect.stringContaining('its origin does not look')]);
    expect(await orderFor(teleport)).toMatchObject({ skipFree: true, granted: [WHOLE] });
  });
});
