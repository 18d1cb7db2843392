import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  desiredFences,
  type FenceWishValue,
  reportFence,
} from '@vmdn/core/http/contracts/coordinator-moves.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { query } from '../testing/test-database.ts';
import {
  announce,
  beat,
  describeTestVm,
  digest,
  enrolTestNode,
  report,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();
let origin: TestNode;
let edges: TestNode[];

beforeEach(async () => {
  const places = [
    ['dublin', 'eu-west'],
    ['frankfurt', 'eu-central'],
  ] as const;
  ({ origin, edges } = await startTestVm(network, places));
});

async function request(changes: object = {}): Promise<Teleport> {
  const body = { vm: 'web-01', near: { region: 'eu-west' }, move: true, ...changes };
  return await network.user.call(client.requestTeleport, { body });
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

async function wishes(): Promise<FenceWishValue[]> {
  return (await origin.client.call(desiredFences, {})).fences;
}

type Word = 'fenced' | 'refused' | 'released' | 'forced';

/** What the origin says. */
async function says(teleport: string, state: Word, epoch = 1, from = origin): Promise<unknown> {
  const body = { epoch, state, ...(state === 'refused' ? { message: 'it runs' } : {}) };
  return await from.client.call(reportFence, { params: { teleport }, body });
}

/** The edge delivered the disk, and waits for leave to boot. */
async function asksToBoot(teleport: string, epoch = 1, edge = edges[0]!) {
  for (const state of ['syncing', 'verified'] as const)
    await report(edge, teleport, { epoch, state });
  return report(edge, teleport, { epoch, state: 'booting' });
}

/** A move whose VM runs on the first edge. */
async function moved(): Promise<string> {
  const { teleport } = await request();
  const booting = asksToBoot(teleport);
  await until(teleport, { move: { fence: 'wanted' } });
  await says(teleport, 'fenced');
  expect(await booting).toEqual({ state: 'booting', epoch: 1 });
  await report(edges[0]!, teleport, { state: 'running' });
  return teleport;
}

async function cancel(teleport: string, writes?: 'discard'): Promise<Teleport> {
  const wish = writes === undefined ? {} : { query: { writes } };
  return await network.user.call(client.cancelTeleport, { params: { teleport }, ...wish });
}

/** The edge was last heard of long ago, and its leases have run out. */
async function silence(edge: string): Promise<void> {
  const away = "update nodes set last_seen_at = now() - interval '1 h' where name = $1";
  await query(network.databaseUrl, away, [edge]);
  const expire = `update teleports set lease_expires_at = now() - interval '1 s'
    where edge_id = (select id from nodes where name = $1) and lease_expires_at is not null`;
  await query(network.databaseUrl, expire, [edge]);
}

describe('a move', () => {
  it('boots once its origin said that the source can’t start, asked no earlier (moves I1)', async () => {
    const { teleport, move } = await request();
    expect(move).toEqual({ fence: 'idle', fencedAt: null, problem: null });
    expect(await wishes()).toEqual([]);
    const booting = asksToBoot(teleport);
    const message = expect.stringMatching(/origin-1 .* source of web-01/);
    await until(teleport, { state: 'verified', message, move: { fence: 'wanted' } });
    const wish = { teleport, vm: 'web-01', version: 1, epoch: 1, want: 'fenced' };
    expect(await wishes()).toEqual([{ ...wish, confirmed: false, settled: false }]);
    await says(teleport, 'refused');
    await until(teleport, { message: expect.stringContaining('it runs'), state: 'verified' });
    await says(teleport, 'fenced');
    expect(await booting).toEqual({ state: 'booting', epoch: 1 });
    expect(await stateOf(teleport)).toMatchObject({ message: null, move: { fence: 'held' } });
    expect(await wishes()).toEqual([{ ...wish, confirmed: true, settled: false }]);
  });

  it('is told what it awaits when the origin does not answer (moves I1)', async () => {
    const { teleport } = await request();
    const reply = await asksToBoot(teleport);
    expect(reply).toMatchObject({ state: 'verified', awaits: expect.stringContaining('origin-1') });
  }, 30_000);

  it('is not let boot by the word of another origin, or for another epoch (fences I2)', async () => {
    const { teleport } = await request();
    const booting = asksToBoot(teleport);
    await until(teleport, { move: { fence: 'wanted' } });
    const other = await enrolTestNode(network, { kind: 'origin', name: 'origin-2' });
    await expect(says(teleport, 'fenced', 1, other)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(says(teleport, 'fenced', 2)).rejects.toMatchObject({ code: 'stale_epoch' });
    expect(await stateOf(teleport)).toMatchObject({ move: { fence: 'wanted' } });
    await says(teleport, 'fenced');
    expect(await booting).toMatchObject({ state: 'booting' });
  });

  it('of a lazy VM waits likewise, before any of its disk is there (moves I1)', async () => {
    const { teleport } = await request({ lazy: true });
    await report(edges[0]!, teleport, {});
    const booting = report(edges[0]!, teleport, { state: 'booting' });
    await until(teleport, { state: 'syncing', move: { fence: 'wanted' } });
    await says(teleport, 'fenced');
    expect(await booting).toEqual({ state: 'booting', epoch: 1 });
  });

  it('has one at a time of a VM; copies say that the VM was moved', async () => {
    const { teleport } = await request();
    await expect(request()).rejects.toMatchObject({ code: 'conflict', data: { teleport } });
    await cancel(teleport);
    const second = await moved();
    await expect(request()).rejects.toMatchObject({
      message: expect.stringContaining(`was moved to dublin by teleport ${second}`),
    });
    const copy = await request({ move: false });
    expect(copy).toMatchObject({ move: null, movedBy: second });
    const { vms } = await network.user.call(client.listVms, {});
    expect(vms.map((vm) => [vm.vm, vm.movedBy])).toEqual([['web-01', second]]);
  });

  it('leaves nothing to copy when what was left at the origin is gone, and that is said', async () => {
    const teleport = await moved();
    const params = { vm: 'web-01', version: 1 };
    await origin.client.call(node.setVersionState, { params, body: { state: 'withdrawn' } });
    await expect(request({ move: false })).rejects.toMatchObject({
      code: 'withdrawn',
      message: expect.stringContaining(`teleport ${teleport} moved it to dublin`),
    });
  });

  it('is refused for a VM that was captured at an edge: nothing there could start', async () => {
    const [edge] = edges;
    await query(network.databaseUrl, 'update vms set origin_id = $1', [edge!.id]);
    await expect(request()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('captured on dublin'),
    });
    expect(await request({ move: false })).toMatchObject({ move: null });
  });

  it('is lazy only where that is said, other than a copy', async () => {
    const { lazy, teleport } = await request();
    expect(lazy).toBe(false);
    expect((await request({ move: false })).lazy).toBe(true);
    await cancel(teleport);
    expect((await request({ lazy: true })).lazy).toBe(true);
  });

  it('is another wish than a copy under the same request id', async () => {
    const requestId = crypto.randomUUID();
    const { teleport } = await request({ requestId });
    expect((await request({ requestId })).teleport).toBe(teleport);
    const copy = request({ requestId, move: false });
    await expect(copy).rejects.toMatchObject({ code: 'conflict' });
  });

  it('says when its source’s files are needed no more', async () => {
    const teleport = await moved();
    expect(await wishes()).toMatchObject([{ teleport, settled: true, confirmed: true }]);
  });
});

describe('a move that is over', () => {
  it('leaves the source alone when nobody was asked to keep it', async () => {
    const { teleport } = await request();
    expect(await cancel(teleport)).toMatchObject({ move: { fence: 'over' } });
    expect(await wishes()).toEqual([]);
  });

  it('before an edge was allowed to boot waits for none: its source is free at once (moves I2)', async () => {
    const { teleport } = await request();
    const booting = asksToBoot(teleport);
    await until(teleport, { move: { fence: 'wanted' } });
    await says(teleport, 'refused');
    await cancel(teleport);
    expect(await booting).toMatchObject({ state: 'cancelled' });
    expect(await wishes()).toMatchObject([{ teleport, want: 'released' }]);
    await says(teleport, 'fenced');
    expect(await stateOf(teleport)).toMatchObject({ move: { fence: 'unwanted' } });
    await says(teleport, 'released');
    expect(await stateOf(teleport)).toMatchObject({ move: { fence: 'over' } });
    expect((await request()).move?.fence).toBe('idle');
  });

  it('lets the source go only after the edge said that nothing is left (moves I2)', async () => {
    const teleport = await moved();
    await expect(cancel(teleport)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('discarded'),
    });
    expect(await stateOf(teleport)).toMatchObject({ state: 'running' });
    expect(await cancel(teleport, 'discard')).toMatchObject({ move: { fence: 'held' } });
    await silence('dublin');
    expect(await wishes()).toMatchObject([{ want: 'fenced' }]);
    await expect(request()).rejects.toMatchObject({ code: 'conflict' });
    await report(edges[0]!, teleport, { state: 'cancelled' });
    expect(await wishes()).toMatchObject([{ teleport, epoch: 1, want: 'released' }]);
    await says(teleport, 'fenced');
    expect(await wishes()).toMatchObject([{ want: 'released' }]);
    await says(teleport, 'released');
    expect(await stateOf(teleport)).toMatchObject({ move: { fence: 'over' } });
    expect(await wishes()).toEqual([]);
    expect((await request()).state).toBe('routed');
  });

  it('because it failed stays with its edge until that says that its VM is gone (moves I2)', async () => {
    const { teleport } = await request();
    const booting = asksToBoot(teleport);
    await until(teleport, { move: { fence: 'wanted' } });
    await says(teleport, 'fenced');
    await booting;
    const failed = { state: 'failed', message: 'not ready', errorCode: 'guest_not_ready' } as const;
    await report(edges[0]!, teleport, failed);
    await report(edges[0]!, teleport, failed);
    expect(await wishes()).toMatchObject([{ want: 'fenced' }]);
    const listed = async () =>
      (await edges[0]!.client.call(node.desiredState, {})).teleports.map((one) => one.state);
    expect(await listed()).toEqual(['failed']);
    await report(edges[0]!, teleport, { state: 'failed', gone: true });
    expect(await wishes()).toMatchObject([{ want: 'released' }]);
    expect(await listed()).toEqual([]);
    expect(await stateOf(teleport)).toMatchObject({ state: 'failed', message: 'not ready' });
  });

  it('by the word of its origin’s operator never boots, and blocks no other', async () => {
    const { teleport } = await request();
    const booting = asksToBoot(teleport);
    await until(teleport, { move: { fence: 'wanted' } });
    await says(teleport, 'forced', 7);
    expect(await booting).toMatchObject({ awaits: expect.stringContaining('took the source') });
    expect(await wishes()).toEqual([]);
    await beat(edges[0]!);
    expect((await request()).move?.fence).toBe('idle');
  }, 30_000);
});

describe('a move whose edge or version changes', () => {
  it('needs the origin’s word again for the next epoch, and keeps the fence meanwhile', async () => {
    const { teleport } = await request();
    await report(edges[0]!, teleport, {});
    await report(edges[0]!, teleport, { state: 'verified' });
    const abandoned = report(edges[0]!, teleport, { state: 'booting' });
    abandoned.catch(() => undefined);
    await until(teleport, { move: { fence: 'wanted' } });
    await silence('dublin');
    await until(teleport, { edge: 'frankfurt', epoch: 2 });
    await expect(says(teleport, 'fenced', 1)).rejects.toMatchObject({ code: 'stale_epoch' });
    await says(teleport, 'fenced', 2);
    expect(await asksToBoot(teleport, 2, edges[1]!)).toEqual({ state: 'booting', epoch: 2 });
    await expect(abandoned).rejects.toMatchObject({ code: 'stale_epoch' });
  });

  it('stays with an edge that was allowed to boot, away or not (teleports I5)', async () => {
    const { teleport } = await request();
    const booting = asksToBoot(teleport);
    await until(teleport, { move: { fence: 'wanted' } });
    await says(teleport, 'fenced');
    await booting;
    await silence('dublin');
    const stuck = await until(teleport, { message: expect.stringContaining('must not run twice') });
    expect(stuck).toMatchObject({ edge: 'dublin', epoch: 1, state: 'booting' });
  });

  it('starts over on the newest version before it boots, with all bytes there or not', async () => {
    const { teleport } = await request();
    for (const state of ['syncing', 'verified'] as const)
      await report(edges[0]!, teleport, { state });
    await announce(origin, describeTestVm('web-01', 2, digest('b')));
    await until(teleport, { version: 2, epoch: 2, state: 'routed' });
  });
});
