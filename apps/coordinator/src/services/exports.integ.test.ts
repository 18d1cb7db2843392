import { randomUUID } from 'node:crypto';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as files from '@vmdn/core/http/contracts/coordinator-files.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { report, startTestVm, type TestNode } from '../testing/test-network.ts';

const network = coordinatorPerTest();

async function desired(edge: TestNode) {
  return await edge.client.call(node.desiredState, { query: {} });
}

describe('an export', () => {
  it('is of what was delivered whole, told to its edge, done when that names a folder', async () => {
    const { edges } = await startTestVm(network);
    const body = { vm: 'web-01', near: { region: 'paris' } };
    const { teleport } = await network.user.call(client.requestTeleport, { body });
    const wish = { teleport, hypervisor: 'vmware' as const };
    const order = () => network.user.call(client.requestExport, { body: wish });
    await expect(order()).rejects.toMatchObject({ code: 'conflict' });
    for (const state of ['syncing', 'verified', 'booting', 'running'] as const) {
      await report(edges[0]!, teleport, { state, independent: state === 'running' });
    }
    const made = await order();
    const named = { teleport, name: 'web-01-1', format: 'vmdk', hypervisor: 'vmware' };
    expect(made).toMatchObject({ ...named, state: 'pending', edge: 'dublin', folder: null });
    expect((await desired(edges[0]!)).exports).toEqual([{ export: made.export, ...named }]);
    const id = { params: { export: made.export } };
    const tell = (word: {
      state: 'running' | 'done' | 'failed';
      folder?: string;
      message?: string;
    }) => edges[0]!.client.call(files.reportExport, { ...id, body: word });
    await expect(tell({ state: 'done' })).rejects.toMatchObject({ code: 'invalid_input' });
    await tell({ state: 'running', message: 'disk 1 of 1: copying' });
    const half = await network.user.call(client.getExport, id);
    expect(half).toMatchObject({ state: 'running', message: 'disk 1 of 1: copying' });
    await tell({ state: 'done', folder: '/var/lib/x/exports/web-01-1' });
    await tell({ state: 'failed' });
    const done = await network.user.call(client.getExport, id);
    expect(done).toMatchObject({ state: 'done', folder: '/var/lib/x/exports/web-01-1' });
    expect((await desired(edges[0]!)).exports).toEqual([]);
    const wrong = { ...wish, format: 'raw' as const };
    await expect(network.user.call(client.requestExport, { body: wrong })).rejects.toMatchObject({
      code: 'invalid_input',
    });
    const unknown = { params: { export: randomUUID() } };
    await expect(network.user.call(client.getExport, unknown)).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});
