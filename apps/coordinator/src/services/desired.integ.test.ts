import { randomUUID } from 'node:crypto';
import { verifyGrant } from '@vmdn/core/http/auth/grant.ts';
import { descriptionDigestOf, verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as files from '@vmdn/core/http/contracts/coordinator-files.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import * as reports from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import {
  announce,
  beat,
  delivery,
  describeTestVm,
  digest,
  enrolTestNode,
  report,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();

async function desired(edge: TestNode, query: object = {}) {
  return await edge.client.call(node.desiredState, { query });
}

function image(digit: string, changes: object = {}) {
  return {
    digest: digest(digit),
    keysRoot: digest('e'),
    name: 'debian-12-base',
    kind: 'base' as const,
    virtualSizeBytes: 4_194_304,
    nonZeroBytes: 1_048_576,
    allocatedBytes: 1_048_576,
    ...changes,
  };
}

async function hold(holder: TestNode, images: ReturnType<typeof image>[]): Promise<void> {
  await holder.client.call(node.reportHoldings, { body: { images } });
}

describe('the desired state', () => {
  it('brings each version with its origin, its signature and a grant for recipes only', async () => {
    const { origin, edges } = await startTestVm(network);
    const { versions } = await desired(edges[0]!);
    expect(versions).toHaveLength(1);
    const [version] = versions;
    expect(version).toMatchObject({ vm: 'web-01', version: 1, state: 'live', holders: [] });
    expect(version!.origin).toMatchObject({ node: origin.id, publicKey: origin.key.publicKey });
    const params = { vm: 'web-01', version: 1 };
    const { description } = await edges[0]!.client.call(node.readDescription, { params });
    expect(descriptionDigestOf(description)).toBe(version!.descriptionDigest);
    const read = await verifyDescription(description, version!.origin.publicKey);
    expect(read.disks[0]?.digest).toBe(digest('a'));
    const grant = await verifyGrant(version!.recipeGrant, origin.coordinatorKey, Date.now());
    expect(grant).toMatchObject({
      edge: edges[0]!.id,
      edgeKey: edges[0]!.key.publicKey,
      purpose: 'background',
      scopes: ['recipe'],
      disks: [digest('a')],
    });
    expect(grant.teleport).toBeUndefined();
  });

  it('brings a teleport with a grant for this edge, epoch and disks, for an hour at most', async () => {
    const { edges } = await startTestVm(network);
    const body = { vm: 'web-01', near: { region: 'eu-west' } };
    const { teleport } = await network.user.call(client.requestTeleport, { body });
    const { teleports } = await desired(edges[0]!);
    expect(teleports).toMatchObject([{ teleport, epoch: 1, state: 'routed' }]);
    const grant = await verifyGrant(teleports[0]!.grant, edges[0]!.coordinatorKey, Date.now());
    expect(grant).toMatchObject({
      purpose: 'teleport',
      teleport,
      epoch: 1,
      scopes: ['recipe', 'blocks'],
      disks: [digest('a')],
    });
    const lifeSeconds = grant.expiresAt - Date.now() / 1000;
    expect(lifeSeconds).toBeGreaterThan(1790);
    expect(lifeSeconds).toBeLessThanOrEqual(3600);
    expect(grant.bytesMax).toBeGreaterThanOrEqual(4 * 1_048_576);
    expect(grant.bytesMax).toBeLessThan(200_000_000);
    const renewal = { params: { teleport }, body: { epoch: 1 } };
    const fresh = await edges[0]!.client.call(reports.renewGrant, renewal);
    const renewed = await verifyGrant(fresh.grant, edges[0]!.coordinatorKey, Date.now());
    expect({ ...renewed, grant: grant.grant }).toEqual(grant);
    expect(renewed.grant).not.toBe(grant.grant);
  });

  it('is the same text as long as nothing changes, and a poll waits for its time (I1)', async () => {
    const { edges } = await startTestVm(network);
    const first = await desired(edges[0]!);
    const startedAt = Date.now();
    const second = await desired(edges[0]!, { revision: first.revision, waitSeconds: 1 });
    expect(second).toEqual(first);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(900);
  });

  it.each([
    [
      'a new version',
      (origin: TestNode) => announce(origin, describeTestVm('web-01', 2, digest('b'))),
    ],
    [
      'a withdrawn version',
      (origin: TestNode) =>
        origin.client.call(node.setVersionState, {
          params: { vm: 'web-01', version: 1 },
          body: { state: 'withdrawn' },
        }),
    ],
    ['another holder', (origin: TestNode) => hold(origin, [image('a', { name: null })])],
    [
      'an origin that moved',
      (origin: TestNode) =>
        origin.client.call(node.heartbeat, {
          body: { protocol: PROTOCOL_VERSION, url: 'http://10.0.0.1:1' },
        }),
    ],
  ])('is told at once of %s', async (what, change) => {
    const { origin, edges } = await startTestVm(network);
    const other = await enrolTestNode(network, { kind: 'edge', name: 'other', region: 'eu-west' });
    await beat(other);
    const { revision } = await desired(edges[0]!);
    const startedAt = Date.now();
    const waiting = desired(edges[0]!, { revision, waitSeconds: 60 });
    await change(what === 'another holder' ? other : origin);
    const next = await waiting;
    expect(next.revision).not.toBe(revision);
    // Well below the minute's timer that would have found it anyway.
    expect(Date.now() - startedAt).toBeLessThan(30_000);
  });

  it('names other holders, the nearest first, never this edge or the origin', async () => {
    const { origin, edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['tokyo', 'tokyo'],
      ['frankfurt', 'eu-central'],
      ['london', 'london'],
    ]);
    for (const holder of [origin, ...edges]) await hold(holder, [image('a', { name: null })]);
    const { versions } = await desired(edges[0]!);
    expect(versions[0]!.holders.map((one) => one.name)).toEqual(['london', 'frankfurt', 'tokyo']);
  });

  it('forgets a teleport that failed and one that went to another edge', async () => {
    const { edges } = await startTestVm(network);
    const body = { vm: 'web-01', near: { region: 'eu-west' } };
    const { teleport } = await network.user.call(client.requestTeleport, { body });
    await report(edges[0]!, teleport, {
      state: 'failed',
      message: 'no luck',
      errorCode: 'corrupt',
    });
    expect((await desired(edges[0]!)).teleports).toEqual([]);
    const view = await network.user.call(client.getTeleport, { params: { teleport } });
    expect(view).toMatchObject({ state: 'failed', message: 'no luck', errorCode: 'corrupt' });
  });
});

describe('a version', () => {
  it('is refused when it is older than the known one, and never changes its content (I2)', async () => {
    const { origin } = await startTestVm(network);
    await announce(origin, describeTestVm('web-01', 3, digest('b')));
    const older = announce(origin, describeTestVm('web-01', 2, digest('c')));
    await expect(older).rejects.toMatchObject({ code: 'conflict' });
    const other = announce(origin, describeTestVm('web-01', 3, digest('c')));
    await expect(other).rejects.toMatchObject({ code: 'conflict' });
    // Saying the same again is fine, also at another time.
    const later = { describedAt: '2027-01-01T00:00:00Z' };
    await announce(origin, describeTestVm('web-01', 3, digest('b'), later));
    const { vms } = await network.user.call(client.listVms, {});
    expect(vms).toMatchObject([{ vm: 'web-01', version: 3, packages: 1, origin: 'origin-1' }]);
  });

  it('that a newer one replaced does not come back to life', async () => {
    const { origin } = await startTestVm(network);
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    const again = announce(origin, describeTestVm('web-01', 1, digest('a')));
    await expect(again).rejects.toMatchObject({ code: 'conflict' });
    const params = { vm: 'web-01', version: 2 };
    for (const state of ['withdrawn', 'live', 'pinned', 'pinned'] as const) {
      await origin.client.call(node.setVersionState, { params, body: { state } });
    }
    const view = await network.user.call(client.describeVm, { params: { vm: 'web-01' } });
    expect(view).toMatchObject({ state: 'pinned', origin: 'origin-1', scores: [] });
  });

  it('counts only with its origin’s signature (I1), under its name, from its origin (I3)', async () => {
    const { origin } = await startTestVm(network);
    const thief = await enrolTestNode(network, { kind: 'origin', name: 'origin-2' });
    await expect(announce(thief, describeTestVm('web-01', 2, digest('b')))).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(
      announce({ ...origin, key: thief.key }, describeTestVm('web-01', 2, digest('b'))),
    ).rejects.toMatchObject({ code: 'forbidden' });
    const params = { vm: 'web-01', version: 1 };
    const state = thief.client.call(node.setVersionState, { params, body: { state: 'withdrawn' } });
    await expect(state).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('takes scores only for its own disks', async () => {
    const { edges } = await startTestVm(network);
    const plan = {
      diskBytes: { zero: 0, local: 0, package: 0, peer: 0, origin: 1 },
      wireBytes: 1,
      estimatedSeconds: 1,
      candidates: [],
      copy: { wireBytes: 0, estimatedSeconds: 0 },
    };
    const score = (digit: string, version: number) =>
      edges[0]!.client.call(node.reportScores, {
        params: { vm: 'web-01', version },
        body: { computedAt: '2026-01-01T00:00:00Z', disks: [{ digest: digest(digit), plan }] },
      });
    await expect(score('b', 1)).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(score('a', 2)).rejects.toMatchObject({ code: 'not_found' });
    await score('a', 1);
    const view = await network.user.call(client.describeVm, { params: { vm: 'web-01' } });
    expect(view.scores).toMatchObject([{ edge: 'dublin', disks: [plan] }]);
  });
});

describe('a seeding order', () => {
  it('is worked off by each edge, and stays done whatever comes later (I1)', async () => {
    const { edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['frankfurt', 'eu-central'],
    ]);
    const [holder, other] = edges as [TestNode, TestNode];
    await hold(holder, [image('b')]);
    const body = { image: 'debian-12-base', edges: ['frankfurt'] };
    const { seed } = await network.user.call(client.requestSeed, { body });
    const { seeds } = await desired(other);
    expect(seeds).toMatchObject([
      {
        seed,
        image: { digest: digest('b'), name: 'debian-12-base', keysRoot: digest('e') },
        holders: [{ node: holder.id, name: 'dublin' }],
      },
    ]);
    const grant = await verifyGrant(seeds[0]!.grant, other.coordinatorKey, Date.now());
    expect(grant).toMatchObject({ purpose: 'seed', disks: [digest('b')] });
    const tell = (state: 'syncing' | 'done' | 'failed') =>
      other.client.call(node.reportSeed, {
        params: { seed },
        body: { state, delivery: delivery(digest('b'), { origin: 1_048_576 }) },
      });
    for (const state of ['syncing', 'done', 'failed'] as const) await tell(state);
    const view = await network.user.call(client.getSeed, { params: { seed } });
    expect(view.edges).toMatchObject([
      { edge: 'frankfurt', state: 'done', delivery: { diskBytes: { origin: 1_048_576 } } },
    ]);
    expect((await desired(other)).seeds).toEqual([]);
  });

  it('needs an image that some node holds and edges that exist, and makes nothing without', async () => {
    const { edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['frankfurt', 'eu-central'],
    ]);
    const seed = (body: { image: string; edges: string[] }) =>
      network.user.call(client.requestSeed, { body });
    const anywhere = { edges: ['dublin'] };
    await expect(seed({ image: 'nothing', ...anywhere })).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(seed({ image: digest('7'), ...anywhere })).rejects.toMatchObject({
      code: 'not_found',
    });
    await hold(edges[0]!, [image('b')]);
    await hold(edges[1]!, [image('c')]);
    await expect(seed({ image: 'debian-12-base', ...anywhere })).rejects.toMatchObject({
      code: 'conflict',
      data: { digests: [digest('b'), digest('c')] },
    });
    await expect(seed({ image: digest('b'), edges: ['nowhere'] })).rejects.toMatchObject({
      code: 'not_found',
      data: { edge: 'nowhere' },
    });
    // An origin is no edge.
    await expect(seed({ image: digest('b'), edges: ['origin-1'] })).rejects.toMatchObject({
      code: 'not_found',
    });
    expect((await desired(edges[0]!)).seeds).toEqual([]);
    const order = await seed({ image: digest('c'), edges: ['dublin', 'dublin'] });
    expect(order).toMatchObject({
      image: { name: 'debian-12-base' },
      edges: [{ state: 'pending' }],
    });
  });
});

describe('an import', () => {
  it('is told to its edge, and done when the edge names the digest', async () => {
    const { edges } = await startTestVm(network);
    const wish = { edge: 'dublin', name: 'base', file: 'base.raw', format: 'raw' as const };
    const order = await network.user.call(client.requestImport, { body: wish });
    expect(order).toMatchObject({ ...wish, state: 'pending', digest: null });
    const id = { params: { import: order.import } };
    const { imports } = await desired(edges[0]!);
    expect(imports).toEqual([
      { import: order.import, name: 'base', file: 'base.raw', format: 'raw' },
    ]);
    const tell = (body: { state: 'running' | 'done' | 'failed'; digest?: string }) =>
      edges[0]!.client.call(files.reportImport, { ...id, body });
    await expect(tell({ state: 'done' })).rejects.toMatchObject({ code: 'invalid_input' });
    await tell({ state: 'running' });
    await tell({ state: 'done', digest: digest('b') });
    await tell({ state: 'failed' });
    expect(await network.user.call(client.getImport, id)).toMatchObject({
      state: 'done',
      digest: digest('b'),
    });
    expect((await desired(edges[0]!)).imports).toEqual([]);
    const unknown = { params: { import: randomUUID() } };
    await expect(network.user.call(client.getImport, unknown)).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('holdings', () => {
  it('are absolute: what is not named any more is gone, and repeating changes nothing', async () => {
    const { edges } = await startTestVm(network);
    await hold(edges[0]!, [image('b'), image('c', { name: null, kind: 'snapshot' })]);
    await hold(edges[0]!, [image('b'), image('c', { name: null, kind: 'snapshot' })]);
    const listed = async () => (await network.user.call(client.listImages, {})).images;
    expect(await listed()).toEqual([
      {
        digest: digest('b'),
        name: 'debian-12-base',
        kind: 'base',
        virtualSizeBytes: 4_194_304,
        nonZeroBytes: 1_048_576,
        holders: [{ node: 'dublin', allocatedBytes: 1_048_576 }],
      },
      expect.objectContaining({ digest: digest('c'), name: null, kind: 'snapshot' }),
    ]);
    await hold(edges[0]!, [image('c', { name: null, kind: 'snapshot' })]);
    expect((await listed()).map((one) => one.digest)).toEqual([digest('c')]);
    await hold(edges[0]!, []);
    expect(await listed()).toEqual([]);
  });

  it('of two thousand images are taken in one report', async () => {
    const { edges } = await startTestVm(network);
    const many = Array.from({ length: 2_000 }, (_, index) => ({
      ...image('b', { name: null, kind: 'snapshot' }),
      digest: index.toString(16).padStart(64, '0') as ReturnType<typeof digest>,
    }));
    await hold(edges[0]!, many);
    const { nodes } = await network.user.call(client.listEdges, {});
    expect(nodes.find((one) => one.name === 'dublin')?.images).toBe(2_000);
  });
});
