import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { report, startTestVm } from '../testing/test-network.ts';

const network = coordinatorPerTest();

async function request(): Promise<Teleport> {
  const body = { vm: 'web-01', near: { region: 'eu-west' } };
  return await network.user.call(client.requestTeleport, { body });
}

describe('cancelling (teleports I2)', () => {
  it('is told to the edge until it confirms, and is a wish that can be repeated (I2)', async () => {
    const { edges } = await startTestVm(network);
    const edge = edges[0]!;
    const { teleport } = await request();
    await report(edge, teleport, {});
    const cancel = () => network.user.call(client.cancelTeleport, { params: { teleport } });
    expect((await cancel()).state).toBe('cancelled');
    expect((await cancel()).state).toBe('cancelled');
    const listed = async () => {
      const { teleports } = await edge.client.call(node.desiredState, {});
      return teleports.map((one) => [one.teleport, one.state]);
    };
    expect(await listed()).toEqual([[teleport, 'cancelled']]);
    expect(await report(edge, teleport, { state: 'verified' })).toEqual({
      state: 'cancelled',
      epoch: 1,
    });
    expect(await listed()).toEqual([[teleport, 'cancelled']]);
    expect((await cancel()).released).toBe(false);
    await report(edge, teleport, { state: 'cancelled' });
    expect(await listed()).toEqual([]);
    expect((await cancel()).released).toBe(true);
  });

  it('takes the disks along where that is wished, and says when it is too late for that', async () => {
    const { edges } = await startTestVm(network);
    const wish = async () => {
      const { teleports } = await edges[0]!.client.call(node.desiredState, {});
      return teleports.map((one) => one.dropSnapshot);
    };
    const { teleport } = await request();
    const cancel = (snapshot: 'keep' | 'drop') =>
      network.user.call(client.cancelTeleport, { params: { teleport }, query: { snapshot } });
    expect(await wish()).toEqual([false]);
    expect((await cancel('drop')).message).toContain('with its snapshot');
    expect(await wish()).toEqual([true]);
    expect((await cancel('drop')).state).toBe('cancelled');
    const { teleport: other } = await request();
    const query = { snapshot: 'drop' } as const;
    await network.user.call(client.cancelTeleport, { params: { teleport: other } });
    const late = network.user.call(client.cancelTeleport, { params: { teleport: other }, query });
    await expect(late).rejects.toMatchObject({ code: 'conflict' });
  });

  it('stops and removes a VM that runs, which stayed in the desired state until then', async () => {
    const { edges } = await startTestVm(network);
    const edge = edges[0]!;
    const { teleport } = await request();
    for (const state of ['syncing', 'verified', 'booting', 'running'] as const) {
      await report(edge, teleport, { state });
    }
    const before = await edge.client.call(node.desiredState, {});
    expect(before.teleports.map((one) => one.state)).toEqual(['running']);
    await network.user.call(client.cancelTeleport, { params: { teleport } });
    const after = await edge.client.call(node.desiredState, {});
    expect(after.teleports.map((one) => one.state)).toEqual(['cancelled']);
    expect(
      (await network.user.call(client.getTeleport, { params: { teleport } })).endpoints,
    ).toEqual([]);
  });
});
