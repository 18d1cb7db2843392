import { randomUUID } from 'node:crypto';
import type { Id } from '@vmdn/core/domain/names.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as delivered from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { deliver, hold, signed } from '../testing/test-captures.ts';
import {
  announce,
  describeTestVm,
  digest,
  report,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();
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
  const body = { vm: 'web-01', near: { region: 'dublin' } };
  ({ teleport } = await network.user.call(client.requestTeleport, { body }));
});

const desired = (who: TestNode) => who.client.call(node.desiredState, { query: {} });
const power = (wanted: 'on' | 'off') =>
  network.user.call(delivered.setPower, { params: { teleport }, body: { power: wanted } });
const capture = (wish: { vm?: string; keepStopped?: boolean } = {}) =>
  network.user.call(delivered.requestCapture, { body: { teleport, ...wish } });
const look = (id: Id) => network.user.call(delivered.getCapture, { params: { capture: id } });
const end = (which = teleport) =>
  network.user.call(delivered.cancelCapture, { params: { teleport: which } });
const view = () => network.user.call(client.getTeleport, { params: { teleport } });
/** VMs that are said to run on the edge. */
async function running(): Promise<number | undefined> {
  const { nodes } = await network.user.call(client.listEdges, {});
  return nodes.find((one) => one.node === edge.id)?.runningVms;
}

type Word = Partial<{ state: 'running' | 'done' | 'failed'; message: string; description: string }>;
const tell = (id: Id, word: Word, who = edge) =>
  who.client.call(delivered.reportCapture, {
    params: { capture: id },
    body: { state: 'running', ...word },
  });

describe('the power of a delivered VM', () => {
  it('is a wish that its edge reads, and what it says of it is what users see', async () => {
    await expect(power('off')).rejects.toMatchObject({ code: 'conflict' });
    await deliver(edge, teleport);
    expect((await view()).power).toBe('on');
    expect(await power('off')).toEqual({
      ...{ teleport, vm: 'web-01', edge: 'dublin', power: 'stopping' },
    });
    expect((await desired(edge)).teleports.map((one) => one.power)).toEqual(['off']);
    expect(await running()).toBe(1);
    await report(edge, teleport, { state: 'running', power: 'off' });
    expect((await view()).power).toBe('off');
    expect(await running()).toBe(0);
    expect((await power('off')).power).toBe('off');
    expect((await power('on')).power).toBe('starting');
    await report(edge, teleport, { state: 'running', power: 'on' });
    expect(await view()).toMatchObject({ power: 'on', state: 'running' });
    expect(await running()).toBe(1);
    const unknown = { params: { teleport: randomUUID() }, body: { power: 'on' as const } };
    const wrong = network.user.call(delivered.setPower, unknown);
    await expect(wrong).rejects.toMatchObject({ code: 'not_found' });
  });

  it('I2: of a lazy one, too, whose disk comes meanwhile; captures and exports wait for that', async () => {
    const body = { vm: 'web-01', near: { region: 'dublin' }, lazy: true };
    ({ teleport } = await network.user.call(client.requestTeleport, { body }));
    for (const state of ['syncing', 'booting', 'running'] as const) {
      await report(edge, teleport, { state });
    }
    expect((await power('off')).power).toBe('stopping');
    await report(edge, teleport, { state: 'running', power: 'off' });
    expect(await view()).toMatchObject({ power: 'off', independentAt: null });
    const early = { code: 'conflict', message: expect.stringContaining('not complete') };
    await expect(capture()).rejects.toMatchObject(early);
    expect((await power('on')).power).toBe('starting');
    expect((await power('off')).power).toBe('off');
    await report(edge, teleport, { state: 'running', power: 'off', independent: true });
    expect((await view()).independentAt).not.toBeNull();
    expect((await capture()).state).toBe('pending');
  });

  it('is told to a waiting edge at once', async () => {
    await deliver(edge, teleport);
    const { revision } = await desired(edge);
    const query = { revision, waitSeconds: 30 };
    const waiting = edge.client.call(node.desiredState, { query });
    await power('off');
    expect((await waiting).teleports.map((one) => one.power)).toEqual(['off']);
  });
});

describe('a capture', () => {
  it('I1, I2: of a delivered VM becomes a version of its edge, which every edge can have', async () => {
    await expect(capture()).rejects.toMatchObject({ code: 'conflict' });
    await deliver(edge, teleport);
    const order = await capture();
    const vm = `web-01-${teleport.slice(0, 8)}`;
    expect(order).toMatchObject({ vm, version: 1, state: 'pending', edge: 'dublin' });
    await expect(capture({ vm: 'another' })).rejects.toMatchObject({ code: 'conflict' });
    const named = { capture: order.capture, teleport, vm, version: 1, keepStopped: false };
    expect((await desired(edge)).captures).toEqual([named]);
    expect((await desired(other)).captures).toEqual([]);
    await tell(order.capture, { message: 'shutting the guest down' });
    expect(await look(order.capture)).toMatchObject({ message: 'shutting the guest down' });
    await hold(edge, digest('a'), digest('c'));
    await tell(order.capture, {
      state: 'done',
      description: await signed(edge, vm, 1, digest('c')),
    });
    expect(await look(order.capture)).toMatchObject({ state: 'done', message: null });
    expect((await desired(edge)).captures).toEqual([]);
    const { versions } = await desired(other);
    const known = versions.find((one) => one.vm === vm);
    expect(known).toMatchObject({
      version: 1,
      state: 'pinned',
      origin: { name: 'dublin', kind: 'edge' },
    });
    const body = { vm, near: { region: 'ashburn' } };
    expect(await network.user.call(client.requestTeleport, { body })).toMatchObject({
      edge: 'ashburn',
    });
    expect(await capture()).toMatchObject({ vm, version: 2 });
    expect((await view()).power).toBe('on');
  });

  it('I2: is not done by another node, another name, another key, or disks that are not held', async () => {
    await deliver(edge, teleport);
    const { capture: id } = await capture({ vm: 'used' });
    await hold(edge, digest('a'));
    const done = async (text: string, who = edge) =>
      await tell(id, { state: 'done', description: text }, who);
    const text = await signed(edge, 'used', 1, digest('c'));
    await expect(done(text, other)).rejects.toMatchObject({ code: 'not_found' });
    await expect(tell(id, { state: 'done' })).rejects.toMatchObject({ code: 'invalid_input' });
    const wrong = [
      [await signed(edge, 'used', 2, digest('c')), 'invalid_input'],
      [await signed(edge, 'web-01', 1, digest('c')), 'invalid_input'],
      [await signed(other, 'used', 1, digest('c')), 'forbidden'],
      [text, 'conflict'],
    ] as const;
    for (const [description, code] of wrong) {
      await expect(done(description), code).rejects.toMatchObject({ code });
    }
    expect(await look(id)).toMatchObject({ state: 'pending' });
    const { vms } = await network.user.call(client.listVms, {});
    expect(vms.map((one) => one.vm)).toEqual(['web-01']);
    // Nor does an edge announce a VM that nobody ordered.
    const key = {
      params: { vm: 'used', version: 1 },
      body: { description: text, state: 'live' as const },
    };
    const announced = edge.client.call(node.announceVersion, key);
    await expect(announced).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('I3: that failed stays so, and its name is free again', async () => {
    await deliver(edge, teleport);
    const { capture: id } = await capture({ vm: 'used', keepStopped: true });
    await tell(id, { state: 'failed', message: 'the guest did not shut down' });
    await hold(edge, digest('c'));
    await tell(id, { state: 'done', description: await signed(edge, 'used', 1, digest('c')) });
    expect(await look(id)).toMatchObject({
      state: 'failed',
      message: 'the guest did not shut down',
    });
    expect((await view()).power).toBe('on');
    expect(await capture({ vm: 'used' })).toMatchObject({ version: 1 });
  });

  it('I4: keeps its VM from being removed, unless it is said that its writes may be lost', async () => {
    await deliver(edge, teleport);
    const { capture: id } = await capture({ vm: 'used' });
    const params = { teleport };
    await expect(network.user.call(client.cancelTeleport, { params })).rejects.toMatchObject({
      code: 'conflict',
      data: { teleport, capture: id },
    });
    expect((await view()).state).toBe('running');
    const query = { writes: 'discard' as const };
    expect(await network.user.call(client.cancelTeleport, { params, query })).toMatchObject({
      state: 'cancelled',
    });
  });

  it('I5: is ended by its user while its edge is away, and its VM and its name are free', async () => {
    await deliver(edge, teleport);
    await expect(end()).rejects.toMatchObject({ code: 'not_found' });
    const { capture: id } = await capture({ vm: 'used' });
    const { revision } = await desired(edge);
    const waiting = edge.client.call(node.desiredState, { query: { revision, waitSeconds: 30 } });
    expect(await end()).toMatchObject({ capture: id, state: 'cancelled', errorCode: 'cancelled' });
    expect((await waiting).captures).toEqual([]);
    expect(await look(id)).toMatchObject({ state: 'cancelled' });
    await expect(end()).rejects.toMatchObject({ code: 'not_found' });
    await expect(end(randomUUID() as Id)).rejects.toMatchObject({ code: 'not_found' });
    expect(await capture({ vm: 'used' })).toMatchObject({ version: 1, state: 'pending' });
  });

  it('I3, I5: that was ended is ended whatever its edge says when it comes back', async () => {
    await deliver(edge, teleport);
    const { capture: id } = await capture({ vm: 'used' });
    await tell(id, { message: 'shutting the guest down' });
    await end();
    await hold(edge, digest('c'));
    const description = await signed(edge, 'used', 1, digest('c'));
    const words = [
      { state: 'done', description },
      { state: 'failed' },
      { state: 'running' },
    ] as const;
    for (const word of words) {
      await expect(tell(id, word), word.state).rejects.toMatchObject({ code: 'cancelled' });
    }
    expect(await look(id)).toMatchObject({ state: 'cancelled' });
    const { vms } = await network.user.call(client.listVms, {});
    expect(vms.map(({ vm }) => vm)).toEqual(['web-01']);
  });

  it('I5: of a VM that is removed is ended too, where its edge never does it', async () => {
    await deliver(edge, teleport);
    const { capture: id } = await capture({ vm: 'used' });
    const query = { writes: 'discard' as const };
    await network.user.call(client.cancelTeleport, { params: { teleport }, query });
    expect(await end()).toMatchObject({ capture: id, state: 'cancelled' });
  });

  it('leaves the VM off where that is wished, once it is done', async () => {
    await deliver(edge, teleport);
    const { capture: id } = await capture({ vm: 'used', keepStopped: true });
    expect((await desired(edge)).teleports.map((one) => one.power)).toEqual(['on']);
    await hold(edge, digest('c'));
    await tell(id, { state: 'done', description: await signed(edge, 'used', 1, digest('c')) });
    expect((await desired(edge)).teleports.map((one) => one.power)).toEqual(['off']);
  });

  it('takes no name that another node describes a VM by, whenever that came', async () => {
    await deliver(edge, teleport);
    await expect(capture({ vm: 'web-01' })).rejects.toMatchObject({ code: 'conflict' });
    const { capture: id } = await capture({ vm: 'used' });
    await announce(origin, describeTestVm('used', 1, digest('d')));
    await hold(edge, digest('c'));
    const done = tell(id, {
      state: 'done',
      description: await signed(edge, 'used', 1, digest('c')),
    });
    await expect(done).rejects.toMatchObject({ code: 'conflict' });
  });

  it('can be had exactly while its edge holds all of its disks, and nothing else is touched', async () => {
    await deliver(edge, teleport);
    const { capture: id } = await capture({ vm: 'used' });
    await hold(edge, digest('a'), digest('c'));
    await tell(id, { state: 'done', description: await signed(edge, 'used', 1, digest('c')) });
    const state = async (vm: string) =>
      (await network.user.call(client.describeVm, { params: { vm } })).state;
    await hold(other, digest('c'));
    await hold(edge, digest('c'));
    expect(await state('used')).toBe('pinned');
    await hold(edge, digest('a'));
    expect(await state('used')).toBe('withdrawn');
    expect(await state('web-01')).toBe('live');
    const body = { vm: 'used', near: { region: 'ashburn' } };
    const late = network.user.call(client.requestTeleport, { body });
    const message = expect.stringContaining('which captured it');
    await expect(late).rejects.toMatchObject({ code: 'withdrawn', message });
    await hold(edge, digest('c'));
    expect(await state('used')).toBe('pinned');
  });
});
