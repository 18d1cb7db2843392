import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import * as clients from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import {
  announce,
  describeTestVm,
  digest,
  enrolTestNode,
  startTestVm,
  type TestNode,
} from '../testing/test-network.ts';

const network = coordinatorPerTest();
const TRUE_FACTS = { virtualSizeBytes: 4_194_304, nonZeroBytes: 1_048_576, keysRoot: digest('e') };
let origin: TestNode;
let edge: TestNode;
let other: TestNode;

beforeEach(async () => {
  const started = await startTestVm(network);
  origin = started.origin;
  edge = started.edges[0]!;
  other = await enrolTestNode(network, { kind: 'origin', name: 'origin-2' });
});

const describes = (vm: string, disk: Digest, facts: object, version = 1): Description => {
  const honest = describeTestVm(vm, version, disk);
  return { ...honest, disks: [{ ...honest.disks[0]!, ...facts }] };
};
const hold = (who: TestNode, held: Digest, facts: object = TRUE_FACTS) =>
  who.client.call(node.reportHoldings, {
    body: {
      images: [
        {
          ...{ digest: held, name: 'debian-12-base', kind: 'base', allocatedBytes: 1_048_576 },
          ...TRUE_FACTS,
          ...facts,
        },
      ],
    },
  });
/** What is known of an image that some node holds: as users see it, and as an edge that is to fetch it. */
async function knownFacts(wanted: Digest): Promise<object> {
  const { images } = await network.user.call(clients.listImages, {});
  const { nonZeroBytes } = images.find((image) => image.digest === wanted)!;
  await network.user.call(clients.requestSeed, { body: { image: wanted, edges: ['dublin'] } });
  const { seeds } = await edge.client.call(node.desiredState, { query: {} });
  const { virtualSizeBytes, keysRoot } = seeds.find(({ image }) => image.digest === wanted)!.image;
  return { virtualSizeBytes, nonZeroBytes, keysRoot };
}
const vms = async () => (await network.user.call(clients.listVms, {})).vms.map(({ vm }) => vm);

describe('what a description says of a disk', () => {
  it.each([
    ['size', { virtualSizeBytes: 8_388_608 }],
    ['bytes that are not zero', { nonZeroBytes: 4096 }],
    ['keys', { keysRoot: digest('f') }],
  ])(
    'I4: is refused when its %s are other than another origin’s, and changes nothing',
    async (_, lie) => {
      await hold(origin, digest('a'));
      const lying = announce(other, describes('web-02', digest('a'), lie));
      await expect(lying).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(
          /not what is known of it from origin-1; .* Describe the VM again/,
        ),
        data: { vm: 'web-02', digest: digest('a'), nodes: ['origin-1'] },
      });
      expect(await knownFacts(digest('a'))).toEqual(TRUE_FACTS);
      expect(await vms()).toEqual(['web-01']);
      await announce(other, describes('web-02', digest('a'), {}));
      expect(await vms()).toEqual(['web-01', 'web-02']);
    },
  );

  it('I4: is refused when it is not what an edge says of an image that it holds', async () => {
    await hold(edge, digest('c'));
    const lying = announce(other, describes('web-02', digest('c'), { keysRoot: digest('f') }));
    await expect(lying).rejects.toMatchObject({ code: 'conflict', data: { nodes: ['dublin'] } });
  });

  it('I4: counts of a disk without its free space as well', async () => {
    const skipFree = {
      ...{ digest: digest('c'), nonZeroBytes: 4096, keysRoot: digest('d') },
      ...{ recipeBytes: 100, kept: [] },
    };
    await announce(origin, describes('web-01', digest('b'), { skipFree }, 2));
    const lying = describes('web-02', digest('c'), { nonZeroBytes: 8192, keysRoot: digest('d') });
    await expect(announce(other, lying)).rejects.toMatchObject({ code: 'conflict' });
    const alike = { ...skipFree, nonZeroBytes: 8192 };
    const alsoLying = describes('web-02', digest('b'), { skipFree: alike });
    await expect(announce(other, alsoLying)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('is its own to correct where nobody else has the disk', async () => {
    await announce(origin, describes('web-01', digest('b'), { nonZeroBytes: 4096 }, 2));
    await announce(origin, describes('web-01', digest('b'), {}, 3));
    await hold(origin, digest('b'), { nonZeroBytes: 4096 });
    expect(await knownFacts(digest('b'))).toEqual(TRUE_FACTS);
  });
});
