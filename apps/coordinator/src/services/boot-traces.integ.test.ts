import type { BootTrace } from '@vmdn/core/domain/boot-trace.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { decodeBootTrace, encodeBootTrace } from '@vmdn/core/formats/boot-trace.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as reports from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { openDatabase } from '../store/database.ts';
import { createStore } from '../store/store.ts';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { quiet } from '../testing/test-database.ts';
import {
  announce,
  describeTestVm,
  digest,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';
import { putBootTrace } from './boot-traces.ts';

const DEBIAN = {
  ...{ id: 'debian', versionId: '12', prettyName: 'Debian 12', architecture: 'x86_64' },
};
const ALPINE = { ...DEBIAN, id: 'alpine' };
const network = coordinatorPerTest();
let origin: TestNode;
let edge: TestNode;
let other: TestNode;

beforeEach(async () => {
  const started = await startTestVm(network, [
    ['dublin', 'eu-west'],
    ['ashburn', 'us-east'],
  ]);
  origin = started.origin;
  edge = started.edges[0]!;
  other = started.edges[1]!;
});

/** A guest that read this block of its first disk. */
function traceOf(block: number, disk = 0): BootTrace {
  const columns = { blocks: Uint32Array.of(block), keys: Uint32Array.of(block, 1) };
  return { disks: Uint8Array.of(disk), ...columns };
}

async function teleport(vm: string, region = 'eu-west'): Promise<Id> {
  const body = { vm, near: { region } };
  return (await network.user.call(client.requestTeleport, { body })).teleport;
}

/** A version of a VM with this system. */
function describeVm(vm: string, version: number, disk: string, os: typeof DEBIAN | null = DEBIAN) {
  return announce(origin, describeTestVm(vm, version, digest(disk), { os }));
}

function put(from: TestNode, id: Id, trace: BootTrace | string, epoch = 1) {
  const text =
    typeof trace === 'string' ? trace : Buffer.from(encodeBootTrace(trace)).toString('base64');
  const body = { epoch, trace: text };
  return from.client.call(reports.putBootTrace, { params: { teleport: id }, body });
}

/** What the edge of a teleport is told: kinship and first block of each trace. */
async function known(from: TestNode, id: Id, epoch = 1): Promise<[string, number][]> {
  const params = { teleport: id };
  const { traces } = await from.client.call(reports.readBootTraces, { params, query: { epoch } });
  return traces.map(({ kinship, trace }) => {
    return [kinship, decodeBootTrace(Buffer.from(trace, 'base64')).blocks[0]!];
  });
}

describe('boot traces', () => {
  it("I1: are the version's, the newest one; another edge's next teleport gets it", async () => {
    const first = await teleport('web-01');
    expect(await known(edge, first)).toEqual([]);
    await put(edge, first, traceOf(3));
    await put(edge, first, traceOf(5));
    const next = await teleport('web-01', 'us-east');
    expect(await known(other, next)).toEqual([['version', 5]]);
  });

  it('serve the next version, and relatives of the same system, a single one of each VM', async () => {
    await describeVm('web-02', 1, 'b');
    const former = await teleport('web-02');
    await put(edge, former, traceOf(2));
    await describeVm('alpine-01', 1, 'c', ALPINE);
    await put(edge, await teleport('alpine-01'), traceOf(9));
    await describeVm('shop-01', 1, 'd');
    await put(edge, await teleport('shop-01'), traceOf(4));
    await describeVm('shop-01', 2, 'e');
    await put(edge, await teleport('shop-01'), traceOf(6));

    await describeVm('web-02', 2, 'f');
    const next = await teleport('web-02');
    expect(await known(edge, next)).toEqual([
      ['vm', 2],
      ['relative', 6],
    ]);
    await put(edge, next, traceOf(7));
    expect(await known(edge, next)).toEqual([['version', 7]]);
  });

  it('of guests whose system nobody knows are nobody else’s', async () => {
    await describeVm('odd-01', 1, 'b', null);
    await put(edge, await teleport('odd-01'), traceOf(1));
    await describeVm('odd-02', 1, 'c', null);
    expect(await known(edge, await teleport('odd-02'))).toEqual([]);
  });

  it('I1, I2: are taken from, and given to, the edge that holds the teleport alone', async () => {
    const id = await teleport('web-01');
    await put(edge, id, traceOf(3));
    for (const attempt of [
      () => put(other, id, traceOf(4)),
      () => put(edge, id, traceOf(4), 2),
      () => known(other, id),
      () => known(edge, id, 2),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'stale_epoch' });
    }
    expect(await known(edge, id)).toEqual([['version', 3]]);
  });

  it('I3: are refused when they are none, or of a disk that the VM does not have', async () => {
    const id = await teleport('web-01');
    const noise = Buffer.from('no trace at all, but long enough').toString('base64');
    await expect(put(edge, id, noise)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(put(edge, id, traceOf(1, 1))).rejects.toMatchObject({ code: 'invalid_input' });
    expect(await known(edge, id)).toEqual([]);
  });

  it('I1: are bounded for each VM and in all: the oldest go', async () => {
    const db = openDatabase(network.databaseUrl, quiet);
    try {
      const store = createStore(db);
      const node = (await store.read((tables) => tables.nodes.find(edge.id)))!;
      const identity = { kind: 'edge', project: node.project, node } as const;
      const keep = async (
        id: Id,
        block: number,
        bounds: { perVmMax: number; bytesMax: number },
      ) => {
        const trace = Buffer.from(encodeBootTrace(traceOf(block))).toString('base64');
        const context = { store, events: () => undefined };
        await putBootTrace(context, identity, id, { epoch: 1, trace }, bounds);
      };
      const bounds = { perVmMax: 2, bytesMax: 1000 };
      for (const [version, disk] of ['b', 'c', 'd'].entries()) {
        await describeVm('web-02', version + 1, disk);
        await keep(await teleport('web-02'), version + 1, bounds);
      }
      const vm = (await store.read((tables) => tables.vms.find(node.project, 'web-02' as never)))!;
      const like = (version: number) =>
        store.read((tables) => tables.traces.like({ ...node, vmId: vm.id, version }, 4));
      expect((await like(1))[0]!.kinship).toBe('vm');
      expect((await like(2))[0]!.kinship).toBe('version');
      // Room for one only.
      const id = await teleport('web-01');
      await keep(id, 8, { ...bounds, bytesMax: 32 });
      expect(await like(3)).toEqual([]);
      expect(await known(edge, id)).toEqual([['version', 8]]);
    } finally {
      await db.destroy();
    }
  });
});
