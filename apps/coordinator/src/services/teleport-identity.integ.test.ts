import { randomUUID } from 'node:crypto';
import type { Description } from '@vmdn/core/domain/description.ts';
import { freshHostname } from '@vmdn/core/domain/identity.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import {
  announce,
  beat,
  describeTestVm,
  digest,
  enrolTestNode,
  name,
  type TestNode,
} from '../testing/test-network.ts';

const debian = { id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'amd64' };

const network = coordinatorPerTest();
let edges: { readonly dublin: TestNode; readonly galway: TestNode };

beforeEach(async () => {
  const origin = await enrolTestNode(network, { kind: 'origin', name: 'origin-1' });
  await beat(origin);
  const plain = describeTestVm('web-01', 1, digest('a'));
  const interfaces = [{ network: name('lan'), mac: '52:54:00:00:00:01' }, { network: name('dmz') }];
  const guests: Readonly<Record<string, Partial<Description>>> = {
    'web-01': { os: debian },
    'odd-01': {},
    'net-01': { os: debian, hardware: { ...plain.hardware, interfaces } },
  };
  for (const [vm, guest] of Object.entries(guests)) {
    await announce(origin, { ...describeTestVm(vm, 1, digest('a')), ...guest });
  }
  const enrol = async (edge: string) => {
    const enrolled = await enrolTestNode(network, { kind: 'edge', name: edge, region: 'eu-west' });
    await beat(enrolled);
    return enrolled;
  };
  edges = { dublin: await enrol('dublin'), galway: await enrol('galway') };
});

const near = { region: name('eu-west') };

async function request(changes: object = {}): Promise<Teleport> {
  const body = { vm: name('web-01'), near, ...changes };
  return await network.user.call(client.requestTeleport, { body });
}

/** What the edge of a teleport is told. */
async function desiredOf({ teleport, edge }: Teleport) {
  const at = Object.values(edges).find((one) => one.name === edge)!;
  const { teleports } = await at.client.call(node.desiredState, {});
  return teleports.find((one) => one.teleport === teleport);
}

describe('the identity of a teleport', () => {
  it('is the same unless said, and its edge is told so', async () => {
    const teleport = await request();
    const same = { identity: 'same', hostname: null, networks: {} };
    expect(teleport).toMatchObject({ ...same, lazy: true });
    expect(await desiredOf(teleport)).toMatchObject(same);
  });

  it('is fresh where that is asked for, with a host name of its own or a wished one', async () => {
    const teleport = await request({ identity: 'fresh' });
    const hostname = freshHostname(teleport.vm, teleport.teleport);
    // Its disk is written before the first start: it is complete by then.
    expect(teleport).toMatchObject({ identity: 'fresh', hostname, lazy: false });
    expect(await desiredOf(teleport)).toMatchObject({ identity: 'fresh', hostname });
    const named = await request({ identity: 'fresh', hostname: 'web-02.example.org' });
    expect(await desiredOf(named)).toMatchObject({ hostname: 'web-02.example.org' });
    const { teleports } = await network.user.call(client.listTeleports, {});
    expect(new Set(teleports.map((one) => one.hostname)).size).toBe(2);
  });

  it('belongs to the request: the same request id with another one is a conflict', async () => {
    const requestId = randomUUID();
    const wish = { requestId, identity: 'fresh', hostname: 'web-02' };
    const first = await request(wish);
    expect((await request(wish)).teleport).toBe(first.teleport);
    for (const change of [{ identity: 'same', hostname: undefined }, { hostname: 'web-03' }]) {
      const other = request({ ...wish, ...change });
      await expect(other).rejects.toMatchObject({ code: 'conflict' });
    }
  });

  it.each([
    ['a host name for the same identity', { hostname: 'web-02' }, /keeps its host name/],
    ['a lazy VM', { identity: 'fresh', lazy: true }, /for fresh or for lazy/],
    ['what is no host name', { identity: 'fresh', hostname: 'web_02' }, /hostname/],
    ['what is no identity', { identity: 'new' }, /identity/],
  ])('is refused for %s', async (_, changes, words) => {
    const asked = request(changes);
    await expect(asked).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(asked).rejects.toThrow(words);
  });

  it('I1: is refused before a byte moves for a guest that nobody can look into', async () => {
    const asked = request({ vm: name('odd-01'), identity: 'fresh' });
    await expect(asked).rejects.toMatchObject({ code: 'unsupported_format' });
    await expect(asked).rejects.toThrow(/operating system is not known.*identity same/);
    await request({ vm: name('odd-01') });
    const { teleports } = await network.user.call(client.listTeleports, {});
    expect(teleports).toHaveLength(1);
  });
});

describe('the networks of a teleport', () => {
  const onNet = { vm: name('net-01') };
  const has = (edge: TestNode, ...networks: string[]) =>
    beat(edge, {}, { networks: networks.map(name) });

  it('decide which edges can take it, and the others say what they lack', async () => {
    await has(edges.dublin, 'user', 'lan');
    await has(edges.galway, 'user', 'dmz', 'lan');
    const teleport = await request(onNet);
    expect(teleport.edge).toBe('galway');
    expect(teleport.others).toMatchObject([
      { edge: 'dublin', eligible: false, reason: 'It has no network "dmz"; it has user, lan.' },
    ]);
    const { nodes } = await network.user.call(client.listEdges, {});
    const shown = new Map(nodes.map((one) => [one.name as string, one.networks]));
    expect(shown.get('galway')).toEqual(['user', 'dmz', 'lan']);
    expect(shown.get('origin-1')).toEqual([]);
  });

  it('are refused with the request when no edge has them: which, and what each edge has', async () => {
    await has(edges.dublin, 'user', 'lan');
    const plan = () => network.user.call(client.planTeleport, { body: { ...onNet, near } });
    for (const ask of [() => request(onNet), plan]) {
      const asked = ask();
      await expect(asked).rejects.toMatchObject({ code: 'not_found' });
      await expect(asked).rejects.toThrow(
        /"dmz" and "lan", which no edge has.* dublin: .*"dmz"; it has user, lan.*galway: .*it has user\./,
      );
    }
    const { teleports } = await network.user.call(client.listTeleports, {});
    expect(teleports).toEqual([]);
  });

  it('may be others at the edge, by name', async () => {
    const networks = { lan: name('user'), dmz: name('user') };
    const teleport = await request({ ...onNet, networks });
    expect(teleport.networks).toEqual(networks);
    expect(await desiredOf(teleport)).toMatchObject({ networks });
    const plan = await network.user.call(client.planTeleport, {
      body: { ...onNet, near, networks },
    });
    expect(plan.chosen.eligible).toBe(true);
    const half = request({ ...onNet, networks: { lan: 'user' } });
    await expect(half).rejects.toMatchObject({ code: 'not_found' });
  });

  it('are mapped only where the VM is on them', async () => {
    for (const vm of ['web-01', 'net-01']) {
      const asked = request({ vm: name(vm), networks: { wan: 'user' } });
      await expect(asked).rejects.toMatchObject({ code: 'invalid_input' });
      await expect(asked).rejects.toThrow(/no network "wan"/);
    }
  });

  it('are a matter of time where an edge that has them has no room', async () => {
    await beat(edges.dublin, { freeMemoryMiB: 0 }, { networks: ['user', 'lan', 'dmz'].map(name) });
    await expect(request(onNet)).rejects.toMatchObject({ code: 'no_room' });
  });
});
