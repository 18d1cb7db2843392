import { randomUUID } from 'node:crypto';
import type { FunctionalCost } from '@vmdn/core/domain/functional-estimate.ts';
import { OVERLAY_HEADROOM_BYTES } from '@vmdn/core/domain/overlay-room.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import * as reports from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { query } from '../testing/test-database.ts';
import {
  announce,
  beat,
  delivery,
  describeTestVm,
  digest,
  enrolTestNode,
  report,
  startTestCoordinator,
  startTestVm,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();

async function request(changes: object = {}, from = network.user): Promise<Teleport> {
  const body = { vm: 'web-01', near: { region: 'eu-west' }, ...changes };
  return await from.call(client.requestTeleport, { body });
}

async function stateOf(teleport: string): Promise<Teleport> {
  return await network.user.call(client.getTeleport, { params: { teleport } });
}

/** A plan of `web-01` that takes 3.5 s. */
function score(functional: FunctionalCost | null = null) {
  const plan = {
    diskBytes: { zero: 3e6, local: 1e6, package: 0, peer: 0, origin: 48_576 },
    wireBytes: 20_000,
    estimatedSeconds: 3.5,
    candidates: [{ digest: digest('b'), name: 'debian', coveredBytes: 1e6 }],
    copy: { wireBytes: 500_000, estimatedSeconds: 4.5 },
  };
  const computedAt = '2026-01-01T00:00:00Z';
  const body = { computedAt, functional, disks: [{ digest: digest('a'), plan }] };
  return { params: { vm: 'web-01', version: 1 }, body };
}

describe('a request for a teleport', () => {
  it('is answered with the chosen edge, why, and why not the others', async () => {
    const { edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['galway', 'eu-west'],
      ['ashburn', 'us-east'],
    ]);
    await edges[1]!.client.call(node.reportScores, score());
    const teleport = await request();
    expect(teleport).toMatchObject({
      state: 'routed',
      epoch: 1,
      version: 1,
      edge: 'galway',
      spilled: false,
      chosen: { distanceKm: 0, estimatedSeconds: 3.5, eligible: true },
    });
    expect(teleport.chosen.plan?.diskBytes.local).toBe(1e6);
    expect(teleport.others.map((other) => [other.edge, other.eligible])).toEqual([
      ['dublin', true],
      ['ashburn', true],
    ]);
    expect(teleport.others[1]?.reason).toContain('Too far');
    expect(await stateOf(teleport.teleport)).toEqual(teleport);
    const { teleports } = await network.user.call(client.listTeleports, {});
    expect(teleports).toEqual([teleport]);
  });

  it('with the same request id is the same teleport, and another one is refused (I1)', async () => {
    await startTestVm(network);
    const requestId = randomUUID();
    const all = await Promise.all(Array.from({ length: 8 }, () => request({ requestId })));
    expect(new Set(all.map((one) => one.teleport)).size).toBe(1);
    const other = request({ requestId, near: { region: 'us-east' } });
    await expect(other).rejects.toMatchObject({ code: 'conflict' });
    expect(await query(network.databaseUrl, 'select id from teleports')).toHaveLength(1);
  });

  it('that leaves the method open gets the quickest of the edge, and the same again', async () => {
    const { edges } = await startTestVm(network);
    const cost = { wireBytes: 9000, image: digest('b'), installed: 2, removed: 0 };
    const tell = (estimatedSeconds: number) =>
      edges[0]!.client.call(node.reportScores, score({ ...cost, estimatedSeconds }));
    const open = { method: 'cheapest', requestId: randomUUID() };
    await tell(2);
    const first = await request(open);
    expect(first).toMatchObject({ method: 'functional', chosen: { estimatedSeconds: 2 } });
    expect(first.lazy).toBe(false);
    await tell(200);
    expect(await request(open)).toMatchObject({ teleport: first.teleport, method: 'functional' });
    const second = await request({ method: 'cheapest' });
    expect(second).toMatchObject({ method: 'exact', lazy: true, chosen: { functional: cost } });
    await tell(2);
    expect(await request({ method: 'cheapest', lazy: true })).toMatchObject({ method: 'exact' });
    const body = { vm: 'web-01', near: { region: 'eu-west' }, method: 'cheapest' } as const;
    expect(await network.user.call(client.planTeleport, { body })).toMatchObject({
      method: 'functional',
    });
  });

  it('runs at once unless it waits for its disk by request, or for a copy that is made', async () => {
    await startTestVm(network);
    expect(await request()).toMatchObject({ method: 'exact', lazy: true });
    expect(await request({ lazy: false })).toMatchObject({ method: 'exact', lazy: false });
    const requestId = randomUUID();
    const { teleport } = await request({ requestId });
    expect(await request({ requestId, lazy: true })).toMatchObject({ teleport });
    const other = request({ requestId, lazy: false });
    await expect(other).rejects.toMatchObject({ code: 'conflict' });
  });

  it('for something unknown says what is known', async () => {
    await startTestVm(network);
    await expect(request({ vm: 'web-02' })).rejects.toMatchObject({
      code: 'not_found',
      data: { known: ['web-01'] },
    });
    await expect(request({ near: { region: 'eu-wst' } })).rejects.toMatchObject({
      code: 'not_found',
      data: { suggestions: expect.arrayContaining(['eu-west']) },
    });
    const unknown = network.user.call(client.getTeleport, { params: { teleport: randomUUID() } });
    await expect(unknown).rejects.toMatchObject({ code: 'not_found' });
  });

  it('of a VM that runs at its origin is refused as withdrawn', async () => {
    const { origin } = await startTestVm(network);
    const params = { vm: 'web-01', version: 1 };
    await origin.client.call(node.setVersionState, { params, body: { state: 'withdrawn' } });
    await expect(request()).rejects.toMatchObject({ code: 'withdrawn' });
  });

  it('never promises the same room twice, however many ask at once', async () => {
    const { edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['frankfurt', 'eu-central'],
    ]);
    for (const edge of edges) await beat(edge, { freeMemoryMiB: 1100 });
    const all = await Promise.allSettled(Array.from({ length: 10 }, () => request()));
    const routed = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const count = (edge: string): number => routed.filter((one) => one.edge === edge).length;
    // 1,100 MiB take two VMs of 512.
    expect([count('dublin'), count('frankfurt')]).toEqual([2, 2]);
    expect(routed.filter((one) => one.spilled)).toHaveLength(2);
    const refused = all.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    for (const error of refused) expect(error).toMatchObject({ code: 'no_room' });
    expect(refused[0]?.message).toContain('512 MiB of memory');
  });

  it('counts room once: what an edge took on and no longer calls free is not promised', async () => {
    const { edges } = await startTestVm(network);
    const edge = edges[0]!;
    // Store for two disks of 1 MiB with their overlays, not for three.
    const overlays = 2 * OVERLAY_HEADROOM_BYTES;
    await beat(edge, { freeStoreBytes: 3_000_000 + overlays });
    const first = await request();
    await report(edge, first.teleport, { disks: [delivery(digest('a'), { zero: 1 })] });
    // Not yet said: the teleport's share still counts as promised beside the old figures.
    await request();
    await expect(request()).rejects.toMatchObject({ code: 'no_room' });
    // The edge reserved disk and overlay for the first one, and says so: one more fits.
    await beat(edge, { freeStoreBytes: 2_100_000 + overlays });
    await request();
    await expect(request()).rejects.toMatchObject({ code: 'no_room' });
  });

  it('is refused at once when the only edge has room for the disk and not for the overlay', async () => {
    const { edges } = await startTestVm(network);
    await beat(edges[0]!, { freeStoreBytes: 1_048_576 + OVERLAY_HEADROOM_BYTES - 1 });
    await expect(request()).rejects.toMatchObject({
      code: 'no_room',
      message: expect.stringContaining('of it for what the VM writes'),
    });
    await beat(edges[0]!, { freeStoreBytes: 1_048_576 + OVERLAY_HEADROOM_BYTES });
    await request();
  });

  it('can be asked as a plan, which makes nothing', async () => {
    await startTestVm(network);
    const body = { vm: 'web-01', near: { latitude: 53, longitude: -6 } };
    const plan = await network.user.call(client.planTeleport, { body });
    expect(plan).toMatchObject({ vm: 'web-01', version: 1, chosen: { edge: 'dublin' } });
    expect(await query(network.databaseUrl, 'select id from teleports')).toHaveLength(0);
  });

  it('is routed around an edge that was not heard of lately', async () => {
    await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['frankfurt', 'eu-central'],
    ]);
    await query(
      network.databaseUrl,
      "update nodes set last_seen_at = now() - interval '1 h' where name = 'dublin'",
    );
    const teleport = await request();
    expect(teleport).toMatchObject({ edge: 'frankfurt', spilled: true });
    expect(teleport.others[0]).toMatchObject({ edge: 'dublin', eligible: false });
  });
});

describe('an edge’s report', () => {
  it('moves the teleport along, with absolute counters that may be repeated', async () => {
    const { edges } = await startTestVm(network);
    const { teleport } = await request();
    const part = delivery(digest('a'), { zero: 3_145_728, local: 500_000 });
    await report(edges[0]!, teleport, { disks: [part] });
    await report(edges[0]!, teleport, { disks: [part] });
    const whole = delivery(digest('a'), { zero: 3_145_728, local: 1_000_000, origin: 48_576 });
    await report(edges[0]!, teleport, { state: 'verified', disks: [whole] });
    await report(edges[0]!, teleport, { state: 'booting', disks: [whole] });
    const endpoints = [{ port: 'http', host: '127.0.0.1', hostPort: 8080 }];
    await report(edges[0]!, teleport, { state: 'running', disks: [whole], endpoints });
    await report(edges[0]!, teleport, { state: 'running', disks: [whole], endpoints });
    const done = await stateOf(teleport);
    expect(done).toMatchObject({ state: 'running', disks: [whole], endpoints });
    expect(done.finishedAt).not.toBeNull();
    const statistics = await network.user.call(client.cacheStatistics, {});
    expect(statistics.total).toEqual({
      requests: { hit: 0, partial: 1, miss: 0 },
      diskBytes: whole.diskBytes,
      wireBytes: whole.wireBytes,
    });
    expect(statistics.byEdge).toEqual([{ edge: 'dublin', ...statistics.total }]);
    expect(statistics.byVm).toEqual([{ vm: 'web-01', ...statistics.total }]);
  });

  it('counts hits, misses and parts by what a whole delivery took, and no half delivery', async () => {
    const { edges } = await startTestVm(network);
    const deliveries = [
      delivery(digest('a'), { zero: 3_145_728, local: 1_048_576 }),
      delivery(digest('a'), { zero: 3_145_728, origin: 1_048_576 }),
      delivery(digest('a'), { zero: 3_145_728, origin: 500_000 }),
    ];
    for (const disk of deliveries) {
      const { teleport } = await request();
      await report(edges[0]!, teleport, { disks: [disk] });
    }
    const { total } = await network.user.call(client.cacheStatistics, {});
    expect(total.requests).toEqual({ hit: 1, partial: 0, miss: 1 });
    expect(total.diskBytes.origin).toBe(1_548_576);
  });

  it.each([
    ['a stale epoch', { epoch: 2 }, 'stale_epoch'],
    ['a move that is not allowed', { state: 'running' as const }, 'conflict'],
    ['a cancellation that nobody asked for', { state: 'cancelled' as const }, 'conflict'],
    ['a disk of another version', { disks: [delivery(digest('b'), {})] }, 'invalid_input'],
    [
      'more bytes than the disk has',
      { disks: [delivery(digest('a'), { zero: 4_194_304, local: 1 })] },
      'invalid_input',
    ],
  ])('with %s is refused and changes nothing (I1, I2, I3)', async (_, body, code) => {
    const { edges } = await startTestVm(network);
    const before = await request();
    await expect(report(edges[0]!, before.teleport, body)).rejects.toMatchObject({ code });
    expect(await stateOf(before.teleport)).toEqual(before);
    expect(await query(network.databaseUrl, 'select * from deliveries')).toHaveLength(0);
  });

  it('from an edge that does not hold the teleport is stale (I1)', async () => {
    const { edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['ashburn', 'us-east'],
    ]);
    const { teleport } = await request();
    await expect(report(edges[1]!, teleport, {})).rejects.toMatchObject({ code: 'stale_epoch' });
    const body = { epoch: 1 };
    const grant = edges[1]!.client.call(reports.renewGrant, { params: { teleport }, body });
    await expect(grant).rejects.toMatchObject({ code: 'stale_epoch' });
  });
});

describe('following', () => {
  it('yields each change and ends after the final state', async () => {
    const { edges } = await startTestVm(network);
    const { teleport } = await request({ lazy: false });
    const seen: string[] = [];
    for await (const view of network.user.followTeleport(teleport as never)) {
      seen.push(view.state);
      const next = { routed: 'syncing', syncing: 'verified', verified: 'booting' } as const;
      const state = next[view.state as 'routed'] ?? 'running';
      if (view.state !== 'running') await report(edges[0]!, teleport, { state });
    }
    expect(seen).toEqual(['routed', 'syncing', 'verified', 'booting', 'running']);
  });

  it('goes on with a lazy VM that runs until that needs nobody', async () => {
    const { edges } = await startTestVm(network);
    const { teleport } = await request({ lazy: true });
    const seen: string[] = [];
    for await (const view of network.user.followTeleport(teleport as never)) {
      seen.push(`${view.state} ${view.independentAt !== null}`);
      const next = { routed: 'syncing', syncing: 'booting' } as const;
      const state = next[view.state as 'routed'] ?? 'running';
      const independent = view.state === 'running';
      await report(edges[0]!, teleport, { state, independent });
    }
    expect(seen).toEqual([
      ...['routed false', 'syncing false', 'booting false', 'running false', 'running true'],
    ]);
  });

  it('I2: of a VM that is not lazy it takes no boot before all is verified', async () => {
    const { edges } = await startTestVm(network);
    const { teleport } = await request({ lazy: false });
    await report(edges[0]!, teleport, { state: 'syncing' });
    const early = report(edges[0]!, teleport, { state: 'booting' });
    await expect(early).rejects.toMatchObject({ code: 'conflict' });
  });

  it('of an unknown teleport is an error, not a stream', async () => {
    const follow = network.user.followTeleport(randomUUID() as never);
    const first = follow[Symbol.asyncIterator]().next();
    await expect(first).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('two coordinators on one database', () => {
  it('are one: a request at one wakes a poll and a stream at the other', async () => {
    const { edges } = await startTestVm(network);
    await using second = await startTestCoordinator(network.databaseUrl);
    const edge = edges[0]!.at(second.url);
    const { revision } = await edge.call(node.desiredState, {});
    const startedAt = Date.now();
    const query = { revision, waitSeconds: 60 };
    const polled = edge.call(node.desiredState, { query });
    const { teleport } = await request({ lazy: false });
    const desired = await polled;
    expect(desired.teleports.map((one) => one.teleport)).toEqual([teleport]);
    const states: string[] = [];
    for await (const view of second.user.followTeleport(teleport as never)) {
      states.push(view.state);
      const next = { routed: 'syncing', syncing: 'verified', verified: 'booting' } as const;
      const state = next[view.state as 'routed'] ?? 'failed';
      if (view.state !== 'failed') await report(edges[0]!, teleport, { state });
    }
    expect(states).toEqual(['routed', 'syncing', 'verified', 'booting', 'failed']);
    // Well below the timers that would have found it anyway: 60 s of the poll, four times 10 s of the stream.
    expect(Date.now() - startedAt).toBeLessThan(30_000);
  });

  it('sign with one key, and each admits the other’s users', async () => {
    await using second = await startTestCoordinator(network.databaseUrl);
    const left = await enrolTestNode(network, { kind: 'origin', name: 'left' });
    const right = await enrolTestNode(second, { kind: 'origin', name: 'right' });
    expect(left.coordinatorKey).toEqual(right.coordinatorKey);
    await announce(left, describeTestVm('vm-1', 1, digest('a')));
    const { vms } = await second.user.call(client.listVms, {});
    expect(vms).toHaveLength(1);
  });
});
