import { randomUUID } from 'node:crypto';
import type { Description } from '@vmdn/core/domain/description.ts';
import type { FunctionalCopy } from '@vmdn/core/domain/functional.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { beforeEach, describe, expect, it } from 'vitest';
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

const DISK = digest('a');
const debian = { id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' };
const packages = [{ name: 'dpkg', version: '1.21', architecture: 'amd64' }];
const copy: FunctionalCopy = {
  ...{ image: { digest: digest('b'), name: name('base') }, digest: digest('c') },
  ...{ virtualSizeBytes: 4_194_304, installed: 2, removed: 1, packageBytes: 300 },
  ...{ files: 12, fileBytes: 4000, databases: [], seconds: { packages: 0.5, appliance: 200 } },
  checkedBy: ['it boots'],
};

const network = coordinatorPerTest();
let edge: TestNode;

beforeEach(async () => {
  const origin = await enrolTestNode(network, { kind: 'origin', name: 'origin-1' });
  await beat(origin);
  const guests: Readonly<Record<string, Partial<Description>>> = {
    'web-01': { os: debian, packages },
    'odd-01': {},
    'rpm-01': { os: { ...debian, id: 'centos', prettyName: 'CentOS 9' }, packages },
    'apk-01': { os: { ...debian, id: 'alpine', prettyName: 'Alpine 3' }, packages },
  };
  for (const [vm, guest] of Object.entries(guests)) {
    await announce(origin, { ...describeTestVm(vm, 1, DISK), ...guest });
  }
  edge = await enrolTestNode(network, { kind: 'edge', name: 'dublin', region: 'eu-west' });
  await beat(edge);
});

async function request(changes: object = {}): Promise<Teleport> {
  const place = { near: { region: name('eu-west') }, method: 'functional' as const };
  const body = { vm: name('web-01'), ...place, ...changes };
  return await network.user.call(client.requestTeleport, { body });
}

describe('a functional teleport', () => {
  it('is ordered as such, and is another request than an exact one', async () => {
    const requestId = randomUUID();
    const teleport = await request({ requestId });
    expect(teleport).toMatchObject({ method: 'functional', functional: null });
    const { teleports } = await edge.client.call(node.desiredState, {});
    expect(teleports).toMatchObject([{ teleport: teleport.teleport, method: 'functional' }]);
    const other = request({ requestId, method: 'exact' });
    await expect(other).rejects.toMatchObject({ code: 'conflict' });
  });

  it('is ordered with its databases dumped where that is asked for', async () => {
    const requestId = randomUUID();
    await request({ requestId, databases: 'dump' });
    const { teleports } = await edge.client.call(node.desiredState, {});
    expect(teleports).toMatchObject([{ databases: 'dump' }]);
    await expect(request({ requestId })).rejects.toMatchObject({ code: 'conflict' });
    const plain = await request();
    const later = await edge.client.call(node.desiredState, {});
    const found = later.teleports.find(({ teleport }) => teleport === plain.teleport);
    expect(found).toMatchObject({ databases: 'files' });
    const exact = request({ method: 'exact', databases: 'dump' });
    await expect(exact).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('shows how the copy was made, and counts by what was read of the source', async () => {
    const { teleport } = await request();
    const read = delivery(DISK, { local: 8192, origin: 4096 });
    await report(edge, teleport, { disks: [read] });
    const before = await network.user.call(client.cacheStatistics, {});
    expect(before.total.requests).toEqual({ hit: 0, partial: 0, miss: 0 });
    await report(edge, teleport, { disks: [read], functional: copy });
    const view = await network.user.call(client.getTeleport, { params: { teleport } });
    expect(view.functional).toEqual(copy);
    // A later report that says nothing of it takes nothing back.
    await report(edge, teleport, { disks: [read] });
    const again = await network.user.call(client.getTeleport, { params: { teleport } });
    expect(again.functional).toEqual(copy);
    const { total } = await network.user.call(client.cacheStatistics, {});
    expect(total.requests).toEqual({ hit: 0, partial: 1, miss: 0 });
  });

  it('is not exported, even when it runs: no digest of a description vouches for it', async () => {
    const { teleport } = await request();
    for (const state of ['syncing', 'verified', 'booting', 'running'] as const) {
      await report(edge, teleport, { state, functional: copy, independent: state === 'running' });
    }
    const order = { body: { teleport, hypervisor: 'kvm' as const } };
    const refused = network.user.call(client.requestExport, order);
    await expect(refused).rejects.toThrow(/functional copy .* is not exported/);
  });

  it.each([
    ['lazy', { lazy: true }, /for functional or for lazy/],
    ['without free space', { skipFree: true }, /functional alone/],
  ])('is not to be had %s', async (_, changes, words) => {
    const asked = request(changes);
    await expect(asked).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(asked).rejects.toThrow(words);
  });

  it('is to be had of an RPM guest', async () => {
    expect(await request({ vm: name('rpm-01') })).toMatchObject({ method: 'functional' });
  });

  it.each([
    ['odd-01', /operating system is not known.*method exact/],
    ['apk-01', /how packages of Alpine 3 are installed is not known.*method exact/],
  ])('of a guest that it is not for is refused at once (%s)', async (vm, words) => {
    const asked = request({ vm: name(vm) });
    await expect(asked).rejects.toMatchObject({ code: 'unsupported_format' });
    await expect(asked).rejects.toThrow(words);
    const body = { vm: name(vm), near: { region: name('eu-west') }, method: 'functional' } as const;
    await expect(network.user.call(client.planTeleport, { body })).rejects.toThrow(words);
    await request({ vm: name(vm), method: 'exact' });
  });
});
