import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { digest, startTestVm, type TestNode } from '../testing/test-network.ts';

const network = coordinatorPerTest();
let asking: TestNode;
let near: TestNode;
let far: TestNode;

beforeEach(async () => {
  const { edges } = await startTestVm(network, [
    ['asking', 'dublin'],
    ['near', 'london'],
    ['far', 'singapore'],
  ]);
  [asking, near, far] = edges as [TestNode, TestNode, TestNode];
});

const DISK = digest('a');

async function tell(edge: TestNode, words: { makes?: number; holds?: boolean }): Promise<void> {
  const image = {
    ...{ digest: DISK, keysRoot: digest('e'), name: null, kind: 'snapshot' as const },
    ...{ virtualSizeBytes: 4_194_304, nonZeroBytes: 1_048_576, allocatedBytes: 1_048_576 },
  };
  const { makes, holds = false } = words;
  const making = makes === undefined ? [] : [{ digest: DISK, verifiedBytes: makes }];
  await edge.client.call(node.reportHoldings, { body: { images: holds ? [image] : [], making } });
}

async function heard() {
  const { versions, revision } = await asking.client.call(node.desiredState, { query: {} });
  const holders = versions[0]!.holders.map(({ name, partial }) => [name, partial]);
  return { holders, revision };
}

describe('an edge that is making a disk', () => {
  it('is named to others as a partial holder, the nearest first, and no longer when it says so', async () => {
    await tell(far, { makes: 1000 });
    await tell(near, { makes: 0 });
    const both = await heard();
    expect(both.holders).toEqual([
      ['near', true],
      ['far', true],
    ]);
    await tell(near, {});
    expect((await heard()).holders).toEqual([['far', true]]);
  });

  it('is the same news however far it is, and other news once it holds the disk', async () => {
    await tell(near, { makes: 0 });
    const { revision } = await heard();
    await tell(near, { makes: 500_000 });
    expect((await heard()).revision).toBe(revision);
    await tell(near, { makes: 500_000, holds: true });
    const whole = await heard();
    expect(whole.holders).toEqual([['near', false]]);
    expect(whole.revision).not.toBe(revision);
  });

  it('is no holder where whole disks are counted', async () => {
    await tell(near, { makes: 4_000_000 });
    const { images } = await network.user.call(client.listImages, {});
    expect(images).toEqual([]);
    const { nodes } = await network.user.call(client.listEdges, {});
    expect(nodes.find(({ name }) => name === 'near')).toMatchObject({ images: 0 });
  });

  it('is not believed about disks that nobody described', async () => {
    const making = [{ digest: digest('f'), verifiedBytes: 1 }];
    await near.client.call(node.reportHoldings, { body: { images: [], making } });
    expect((await heard()).holders).toEqual([]);
  });
});

describe('trouble with holders', () => {
  it('is shown with the node that had it, as it counted last', async () => {
    const beat = (count: number) =>
      near.client.call(node.heartbeat, {
        body: {
          ...{ protocol: PROTOCOL_VERSION, url: 'http://127.0.0.1:1' },
          holderFaults: [{ holder: 'edge far', code: 'timeout', count }],
        },
      });
    await beat(1);
    await beat(3);
    const { nodes } = await network.user.call(client.listEdges, {});
    const shown = nodes.map(({ name, holderFaults }) => [name, holderFaults]);
    expect(shown).toContainEqual(['near', [{ holder: 'edge far', code: 'timeout', count: 3 }]]);
    expect(shown).toContainEqual(['far', []]);
  });
});
