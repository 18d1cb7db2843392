import * as clients from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import {
  announce,
  describeTestVm,
  digest,
  name,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();

describe('descriptions', () => {
  it('are named in the desired state, not repeated: 100 guests of 300 packages are short (I3)', async () => {
    const { origin, edges } = await startTestVm(network);
    const packages = Array.from({ length: 300 }, (_, index) => ({
      ...{ name: `libsomething-${index}-dev`, version: `1:2.36.${index}-9+deb12u13` },
      architecture: 'amd64',
    }));
    for (let vm = 1; vm <= 100; vm += 1) {
      await announce(origin, describeTestVm(`vm-${vm}`, 1, digest('b'), { packages }));
    }
    const state = await edges[0]!.client.call(node.desiredState, {});
    expect(state.versions).toHaveLength(101);
    const params = { vm: 'vm-1', version: 1 };
    const { description } = await edges[0]!.client.call(node.readDescription, { params });
    expect(description.length).toBeGreaterThan(25_000);
    const bytes = JSON.stringify(state).length;
    expect(bytes).toBeLessThan(101 * 2_000);
    expect(bytes).toBeLessThan((101 * description.length) / 15);
  });

  it('say whether the VM was off, wherever users meet them; older ones meant that it was', async () => {
    const { origin } = await startTestVm(network);
    const { user } = network;
    const body = { vm: name('web-01'), near: { region: name('paris') } };
    const seen = async () => [
      (await user.call(clients.listVms, {})).vms[0]!.consistency,
      (await user.call(clients.planTeleport, { body })).consistency,
      (await user.call(clients.requestTeleport, { body })).consistency,
    ];
    expect(await seen()).toEqual(['off', 'off', 'off']);
    const ran = describeTestVm('web-01', 2, digest('b'), { consistency: 'crash' });
    await announce(origin, ran, 'pinned');
    expect(await seen()).toEqual(['crash', 'crash', 'crash']);
    const { teleports } = await user.call(clients.listTeleports, {});
    expect(teleports.map(({ consistency }) => consistency).sort()).toEqual(['crash', 'off']);
  });

  it('are given to edges only, and looked for in vain when there is no such version', async () => {
    const { origin, edges } = await startTestVm(network);
    const read = (as: TestNode, vm: string, version: number) =>
      as.client.call(node.readDescription, { params: { vm, version } });
    await expect(read(edges[0]!, 'web-01', 2)).rejects.toMatchObject({ code: 'not_found' });
    await expect(read(edges[0]!, 'web-02', 1)).rejects.toMatchObject({ code: 'not_found' });
    await expect(read(origin, 'web-01', 1)).rejects.toMatchObject({ code: 'forbidden' });
    const params = { vm: 'web-01', version: 1 };
    await expect(network.user.call(node.readDescription, { params })).rejects.toMatchObject({
      code: 'forbidden',
    });
  });
});
