import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { describe, expect, it, vi } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { query } from '../testing/test-database.ts';
import {
  announce,
  beat,
  delivery,
  describeTestVm,
  digest,
  report,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();

const TWO_EDGES = [
  ['dublin', 'eu-west'],
  ['frankfurt', 'eu-central'],
] as const;

async function request(vm = 'web-01', changes: object = {}): Promise<Teleport> {
  const body = { vm, near: { region: 'eu-west' }, ...changes };
  return await network.user.call(client.requestTeleport, { body });
}

async function last(teleports: AsyncIterable<Teleport>): Promise<Teleport | undefined> {
  let one: Teleport | undefined;
  for await (one of teleports);
  return one;
}

async function stateOf(teleport: string): Promise<Teleport> {
  return await network.user.call(client.getTeleport, { params: { teleport } });
}

async function until(teleport: string, expected: object): Promise<Teleport> {
  return await vi.waitFor(
    async () => {
      const view = await stateOf(teleport);
      expect(view).toMatchObject(expected);
      return view;
    },
    { timeout: 60_000, interval: 50 },
  );
}

/** The edge holds exactly these disks. */
async function hold(edge: TestNode, ...digests: Digest[]): Promise<void> {
  const facts = { keysRoot: digest('e'), name: null, kind: 'snapshot' as const };
  const bytes = { virtualSizeBytes: 4_194_304, nonZeroBytes: 1_048_576, allocatedBytes: 1_048_576 };
  const images = digests.map((one) => ({ digest: one, ...facts, ...bytes }));
  await edge.client.call(node.reportHoldings, { body: { images } });
}

/** The edge was last heard of long ago, and its leases have run out. */
async function kill(edge: string): Promise<void> {
  const away = "update nodes set last_seen_at = now() - interval '1 h' where name = $1";
  await query(network.databaseUrl, away, [edge]);
  const expire = `update teleports set lease_expires_at = now() - interval '1 s'
    where edge_id = (select id from nodes where name = $1) and lease_expires_at is not null`;
  await query(network.databaseUrl, expire, [edge]);
}

async function withdraw(origin: TestNode, version: number): Promise<void> {
  await origin.client.call(node.setVersionState, {
    params: { vm: 'web-01', version },
    body: { state: 'withdrawn' },
  });
}

describe('when the edge of a teleport goes away', () => {
  it('another one takes over under the next epoch, and the first one’s reports are stale (I1)', async () => {
    const { edges } = await startTestVm(network, TWO_EDGES);
    const { teleport } = await request();
    const part = delivery(digest('a'), { local: 1000 });
    await report(edges[0]!, teleport, { disks: [part] });
    await kill('dublin');
    const moved = await until(teleport, { edge: 'frankfurt', epoch: 2, state: 'routed' });
    expect(moved).toMatchObject({ spilled: true, disks: [] });
    expect(moved.message).toContain('dublin went away');
    await expect(report(edges[0]!, teleport, { epoch: 1 })).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    await expect(report(edges[0]!, teleport, { epoch: 2 })).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    expect(await report(edges[1]!, teleport, { epoch: 2 })).toEqual({ state: 'syncing', epoch: 2 });
    // What the first edge moved stays counted.
    const { byEdge } = await network.user.call(client.cacheStatistics, {});
    expect(byEdge.find((row) => row.edge === 'dublin')?.diskBytes.local).toBe(1000);
  });

  it('it waits, says why, and goes on when the edge is back and nobody else had room (I2)', async () => {
    const { edges } = await startTestVm(network);
    const { teleport } = await request();
    await report(edges[0]!, teleport, {});
    await kill('dublin');
    const waiting = await until(teleport, { message: expect.stringContaining('is away') });
    expect(waiting).toMatchObject({ edge: 'dublin', epoch: 1, state: 'syncing' });
    await beat(edges[0]!);
    expect(await report(edges[0]!, teleport, { state: 'verified' })).toMatchObject({ epoch: 1 });
  });

  it('a VM that runs is left alone', async () => {
    const { edges } = await startTestVm(network, TWO_EDGES);
    const { teleport } = await request();
    for (const state of ['syncing', 'verified', 'booting', 'running'] as const) {
      await report(edges[0]!, teleport, { state });
    }
    const other = await request();
    await kill('dublin');
    await until(other.teleport, { edge: 'frankfurt' });
    expect(await stateOf(teleport)).toMatchObject({ edge: 'dublin', epoch: 1, state: 'running' });
  });

  it('beats, polls and reports each keep the lease', async () => {
    const { edges } = await startTestVm(network);
    const { teleport } = await request();
    const leases = async (): Promise<boolean> => {
      const text = "select lease_expires_at > now() + interval '10 s' as good from teleports";
      const [row] = await query<{ good: boolean }>(network.databaseUrl, text);
      await query(
        network.databaseUrl,
        "update teleports set lease_expires_at = now() + interval '9 s'",
      );
      return row!.good;
    };
    expect(await leases()).toBe(true);
    await beat(edges[0]!);
    expect(await leases()).toBe(true);
    await edges[0]!.client.call(node.desiredState, {});
    expect(await leases()).toBe(true);
    await report(edges[0]!, teleport, {});
    expect(await leases()).toBe(true);
  });
});

describe('when a version is withdrawn under a teleport', () => {
  it('it starts over on the new version, on the same edge, under the next epoch (I3)', async () => {
    const { origin, edges } = await startTestVm(network, [
      ['dublin', 'eu-west'],
      ['cork', 'eu-west'],
    ]);
    const { teleport, edge } = await request();
    expect(edge).toBe('cork');
    // For the new version the other edge would be the better one: it holds the disk already.
    await hold(edges[0]!, digest('b'));
    await report(edges[1]!, teleport, {});
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    const again = await until(teleport, { version: 2, epoch: 2, state: 'routed', edge: 'cork' });
    expect(again.message).toContain('started over on version 2');
    await expect(report(edges[1]!, teleport, { epoch: 1 })).rejects.toMatchObject({
      code: 'stale_epoch',
    });
    const { teleports, versions } = await edges[1]!.client.call(node.desiredState, {});
    expect(teleports[0]).toMatchObject({ epoch: 2, version: { version: 2 } });
    expect(versions.map((one) => one.version)).toEqual([2]);
  });

  it('it waits for the next version when there is none yet (I2)', async () => {
    const { origin, edges } = await startTestVm(network);
    const { teleport } = await request();
    await report(edges[0]!, teleport, {});
    await withdraw(origin, 1);
    await until(teleport, {
      message: expect.stringContaining('it runs or has changed at its origin'),
    });
    const desired = await edges[0]!.client.call(node.desiredState, {});
    expect(desired.teleports[0]?.version.state).toBe('withdrawn');
    // All that the edge sees is that nobody gives it the bytes.
    const words = { message: 'No source that is left', errorCode: 'unavailable' };
    await report(edges[0]!, teleport, { state: 'waiting', ...words });
    expect(await stateOf(teleport)).toMatchObject({
      state: 'waiting',
      message: expect.stringContaining('it runs or has changed at its origin'),
      errorCode: 'unavailable',
    });
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    await until(teleport, { version: 2, epoch: 2 });
  });

  it('it goes on as long as another holder covers the disk, and starts over when that is gone', async () => {
    const { origin, edges } = await startTestVm(network, TWO_EDGES);
    await announce(origin, describeTestVm('web-02', 1, digest('c')));
    const { teleport } = await request();
    const uncovered = await request('web-02');
    await hold(edges[1]!, digest('a'));
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    await announce(origin, describeTestVm('web-02', 2, digest('d')));
    // The older row is looked at first: when the younger one has moved, it was left as it is.
    await until(uncovered.teleport, { version: 2, epoch: 2 });
    expect(await stateOf(teleport)).toMatchObject({ version: 1, epoch: 1, state: 'routed' });
    const { teleports } = await edges[0]!.client.call(node.desiredState, {});
    expect(teleports[0]?.version).toMatchObject({
      state: 'withdrawn',
      holders: [{ name: 'frankfurt', digest: digest('a') }],
    });
    await hold(edges[1]!);
    await until(teleport, { version: 2, epoch: 2 });
  });

  it('it is not disturbed once its bytes are all there', async () => {
    const { origin, edges } = await startTestVm(network);
    const { teleport } = await request();
    const other = await request();
    await report(edges[0]!, teleport, {});
    await report(edges[0]!, teleport, { state: 'verified' });
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    await until(other.teleport, { version: 2 });
    expect(await stateOf(teleport)).toMatchObject({ version: 1, epoch: 1, state: 'verified' });
    await report(edges[0]!, teleport, { state: 'booting' });
  });

  it('a lazy VM that boots starts over: it has not served anybody yet', async () => {
    const { origin, edges } = await startTestVm(network);
    const { teleport } = await request('web-01', { lazy: true });
    for (const state of ['syncing', 'booting'] as const)
      await report(edges[0]!, teleport, { state });
    // What the edge itself has of it is no reason to wait.
    const body = { images: [], making: [{ digest: digest('a'), verifiedBytes: 65_536 }] };
    await edges[0]!.client.call(node.reportHoldings, { body });
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    await until(teleport, { version: 2, epoch: 2, state: 'routed' });
  });

  it('I4: a lazy VM that runs goes on; what is missing for good is said, until somebody has it', async () => {
    const { origin, edges } = await startTestVm(network, TWO_EDGES);
    const { teleport } = await request('web-01', { lazy: true });
    for (const state of ['syncing', 'booting', 'running'] as const) {
      await report(edges[0]!, teleport, { state });
    }
    const following = last(network.user.followTeleport(teleport));
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    const stranded = { version: 1, epoch: 1, state: 'running', errorCode: 'withdrawn' };
    // Whoever watches is told, and need not watch any longer.
    expect(await following).toMatchObject(stranded);
    await report(edges[0]!, teleport, { state: 'running' });
    const view = await stateOf(teleport);
    expect(view).toMatchObject(stranded);
    expect(view.message).toMatch(/changed at its origin .* Cancel it/);
    await hold(edges[1]!, digest('a'));
    await until(teleport, { state: 'running', errorCode: null, message: null });
    await hold(edges[1]!);
    await until(teleport, stranded);
    await report(edges[0]!, teleport, { state: 'running', independent: true });
    expect(await stateOf(teleport)).toMatchObject({ errorCode: null, message: null });
  });

  it('I4: it is as before when the version is there again', async () => {
    const { origin, edges } = await startTestVm(network);
    const { teleport } = await request('web-01', { lazy: true });
    for (const state of ['syncing', 'booting', 'running'] as const) {
      await report(edges[0]!, teleport, { state });
    }
    await withdraw(origin, 1);
    await until(teleport, { errorCode: 'withdrawn' });
    await announce(origin, describeTestVm('web-01', 1, digest('a')));
    await until(teleport, { state: 'running', errorCode: null, message: null });
  });
});
