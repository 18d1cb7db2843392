import type { Id, Name } from '@vmdn/core/domain/names.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as delivered from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { captureDone, deliver, hold } from '../testing/test-captures.ts';
import {
  announce,
  describeTestVm,
  digest,
  report,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();
/** The disk that was delivered, two that were captured, and one more of a VM with two. */
const [DELIVERED, FIRST, SECOND, DATA] = ['a', 'c', 'd', 'b'].map(digest) as [
  ReturnType<typeof digest>,
  ReturnType<typeof digest>,
  ReturnType<typeof digest>,
  ReturnType<typeof digest>,
];
let origin: TestNode;
let edge: TestNode;
let other: TestNode;
let teleport: Id;

beforeEach(async () => {
  const started = await startTestVm(network, [
    ['dublin', 'eu-west'],
    ['ashburn', 'us-east'],
  ]);
  origin = started.origin;
  [edge, other] = started.edges as [TestNode, TestNode];
  teleport = await request('web-01', 'dublin');
  await deliver(edge, teleport);
});

async function request(vm: string, region: string): Promise<Id> {
  const body = { vm, near: { region } };
  return (await network.user.call(client.requestTeleport, { body })).teleport;
}

/** Captures the VM as `used`. */
const captured = (...disks: readonly (typeof FIRST)[]) =>
  captureDone(network, edge, { teleport, vm: 'used' }, disks, [DELIVERED]);
const desired = (who: TestNode) => who.client.call(node.desiredState, { query: {} });
const drops = async (who = edge) => (await desired(who)).dropSnapshots;
const forget = (vm = 'used') => network.user.call(client.forgetVm, { params: { vm } });
const names = async () => {
  const { vms } = await network.user.call(client.listVms, {});
  return vms.map(({ vm, version }) => `${vm}/${version}`);
};
const cancel = async (which: Id, who: TestNode) => {
  await network.user.call(client.cancelTeleport, { params: { teleport: which } });
  await report(who, which, { state: 'cancelled' });
};
const readDescription = (who: TestNode, version: number) =>
  who.client.call(node.readDescription, { params: { vm: 'used', version } });

describe('a captured VM that is forgotten', () => {
  it('can be had by nobody, and its edge is to drop its disks until it has', async () => {
    await captured(FIRST);
    expect(await drops()).toEqual([]);
    const { revision } = await desired(edge);
    const waiting = edge.client.call(node.desiredState, { query: { revision, waitSeconds: 30 } });
    expect(await forget()).toEqual({ vm: 'used', edge: 'dublin' });
    // It is told at once; what is read meanwhile may be half of it, which the next answer mends.
    expect((await waiting).revision).not.toBe(revision);
    expect(await drops()).toEqual([FIRST]);
    expect(await names()).toEqual(['web-01/1']);
    const known = (await desired(other)).versions.map(({ vm }) => vm);
    expect(known).toEqual(['web-01']);
    expect(await drops(other)).toEqual([]);
    const absent = expect.objectContaining({ code: 'not_found' });
    await expect(request('used', 'ashburn')).rejects.toEqual(absent);
    await expect(network.user.call(client.describeVm, { params: { vm: 'used' } })).rejects.toEqual(
      absent,
    );
    await expect(forget()).rejects.toEqual(absent);
    await hold(edge, DELIVERED, FIRST);
    expect(await drops()).toEqual([FIRST]);
    await hold(edge, DELIVERED);
    expect(await drops()).toEqual([]);
  });

  it('I1: is none that an origin describes', async () => {
    await expect(forget('web-01')).rejects.toMatchObject({
      ...{ code: 'conflict', message: expect.stringContaining('origin-1 describes it') },
    });
    await expect(forget('nobody')).rejects.toMatchObject({ code: 'not_found' });
    expect(await names()).toEqual(['web-01/1']);
  });

  it('I2: is none that a teleport reads, which is named, nor one that is being captured', async () => {
    await captured(FIRST);
    const onward = await request('used', 'ashburn');
    const message = expect.stringContaining(`${onward} (routed on ashburn)`);
    const refused = { code: 'conflict', message, data: { vm: 'used', teleports: [onward] } };
    await expect(forget()).rejects.toMatchObject(refused);
    await report(other, onward, { state: 'syncing' });
    await report(other, onward, { state: 'booting' });
    await report(other, onward, { state: 'running', independent: false });
    await expect(forget(), 'it runs before its disk is there').rejects.toMatchObject({
      message: expect.stringContaining('running on ashburn'),
    });
    await report(other, onward, { state: 'running', independent: true });
    const body = { teleport, vm: 'used' };
    const { capture } = await network.user.call(delivered.requestCapture, { body });
    await expect(forget()).rejects.toMatchObject({ code: 'conflict', data: { capture } });
    await network.user.call(delivered.cancelCapture, { params: { teleport } });
    await forget();
  });

  it('I3: goes on where it was delivered, and its teleport says what it is', async () => {
    await captured(FIRST);
    const onward = await request('used', 'ashburn');
    await deliver(other, onward);
    await forget();
    const view = await network.user.call(client.getTeleport, { params: { teleport: onward } });
    expect(view).toMatchObject({ vm: 'used', version: 1, state: 'running', power: 'on' });
    const { teleports, versions } = await desired(other);
    expect(teleports).toMatchObject([{ teleport: onward, version: { vm: 'used' } }]);
    expect(versions).toContainEqual(expect.objectContaining({ vm: 'used', state: 'withdrawn' }));
    await hold(edge, DELIVERED, FIRST);
    expect((await desired(other)).versions.find(({ vm }) => vm === 'used')?.state).toBe(
      'withdrawn',
    );
    await expect(readDescription(other, 1)).resolves.toBeDefined();
    await cancel(onward, other);
    expect((await desired(other)).versions.map(({ vm }) => vm)).toEqual(['web-01']);
  });

  it('leaves what an origin describes, and what another captured VM has', async () => {
    await captured(FIRST, DATA);
    const order = { teleport, vm: 'another' };
    await captureDone(network, edge, order, [SECOND, DATA], [DELIVERED, FIRST]);
    await announce(origin, describeTestVm('db-01', 1, FIRST));
    await forget();
    expect(await drops()).toEqual([]);
    await forget('another');
    expect(await drops()).toEqual([DATA, SECOND]);
    const { disks, ...lean } = describeTestVm('lean-01', 1, digest('f'));
    const skipFree = { ...disks[0]!, digest: DATA, kept: [] };
    const { virtualSizeBytes: _, ...less } = skipFree;
    await announce(origin, { ...lean, disks: [{ ...disks[0]!, skipFree: less }] });
    expect(await drops(), 'one that it described without free space').toEqual([SECOND]);
    // The delivered disk is the origin's, whether it has that still or not.
    await captureDone(network, edge, { teleport, vm: 'as-it-was' }, [DELIVERED], []);
    await announce(origin, describeTestVm('web-01', 2, digest('f')));
    await forget('as-it-was');
    expect(await drops()).toEqual([]);
  });

  it('gives its name back, but its numbers go on', async () => {
    await captured(FIRST);
    await forget();
    expect(await captured(SECOND)).toBe(2);
    expect(await names()).toEqual(['used/2', 'web-01/1']);
    expect(await drops()).toEqual([]);
    await hold(edge, DELIVERED, FIRST, SECOND);
    expect(await drops()).toEqual([FIRST]);
    await forget();
    await announce(origin, describeTestVm('used', 1, DATA));
    expect(await names()).toEqual(['used/1', 'web-01/1']);
    const { description } = await readDescription(other, 1);
    const { description: said } = await network.user.call(client.describeVm, {
      params: { vm: 'used' },
    });
    expect(said.disks[0]!.digest).toBe(DATA);
    const [, payload] = description.split('.');
    expect(Buffer.from(payload!, 'base64url').toString()).toContain(DATA);
  });

  it('keeps its name from other nodes while a VM of it stands: edges ask for its description', async () => {
    await captured(FIRST);
    const onward = await request('used', 'ashburn');
    await deliver(other, onward);
    await forget();
    const announced = () => announce(origin, describeTestVm('used', 1, DATA));
    const refused = { code: 'conflict', data: { teleport: onward, edge: 'ashburn' } };
    await expect(announced()).rejects.toMatchObject(refused);
    const wish = { body: { teleport: onward, vm: 'used' } };
    await expect(network.user.call(delivered.requestCapture, wish)).rejects.toMatchObject(refused);
    // Its own edge gives other numbers.
    expect(await captured(SECOND)).toBe(2);
    await forget();
    await cancel(onward, other);
    await announced();
  });
});

describe('an older version of a captured VM', () => {
  it('is dropped by its edge when a newer one is there, except for disks that both have', async () => {
    await captured(FIRST, DATA);
    await captureDone(network, edge, { teleport, vm: 'used' }, [SECOND, DATA], [FIRST, DELIVERED]);
    expect(await drops()).toEqual([FIRST]);
    await hold(edge, DELIVERED, SECOND, DATA);
    expect(await drops()).toEqual([]);
    expect(await names()).toEqual(['used/2', 'web-01/1']);
  });

  it('stays while a teleport reads it', async () => {
    await captured(FIRST);
    const onward = await request('used', 'ashburn');
    await captureDone(network, edge, { teleport, vm: 'used' }, [SECOND], [FIRST, DELIVERED]);
    const { dropSnapshots, revision } = await desired(edge);
    expect(dropSnapshots).toEqual([]);
    await deliver(other, onward);
    const after = await desired(edge);
    expect(after.dropSnapshots).toEqual([FIRST]);
    expect(after.revision, 'an edge that waits is told').not.toBe(revision);
  });

  it('stays while an edge is seeded with it', async () => {
    await captured(FIRST);
    const image = FIRST;
    const body = { image, edges: ['ashburn' as Name] };
    const { seed } = await network.user.call(client.requestSeed, { body });
    await captureDone(network, edge, { teleport, vm: 'used' }, [SECOND], [FIRST, DELIVERED]);
    expect(await drops()).toEqual([]);
    const params = { seed };
    await other.client.call(node.reportSeed, { params, body: { state: 'done' } });
    expect(await drops()).toEqual([FIRST]);
  });

  it('stays while the newer one lacks a disk', async () => {
    await captured(FIRST);
    await captured(SECOND);
    await hold(edge, DELIVERED, FIRST);
    expect(await drops()).toEqual([]);
  });
});
