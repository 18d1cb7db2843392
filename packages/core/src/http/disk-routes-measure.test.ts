import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { VmdnError } from '../domain/errors.ts';
import {
  diskBytes,
  HOLDER,
  memoryDisk,
  startTestNode,
  type TestNode,
} from './disk-routes.fixture.ts';

const disk = memoryDisk(diskBytes(4 * 2 ** 20));
const RUNS = Uint32Array.of(0, 1, 2, 300, 500, 200);

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode([disk]);
});
afterAll(async () => await node[Symbol.asyncDispose]());
beforeEach(() => {
  disk.beforeRead = () => undefined;
  disk.presentSegments = undefined;
});

async function about(grant?: string) {
  return {
    ...{ url: node.url, holder: HOLDER, digest: disk.digest, runs: RUNS },
    grant: grant ?? (await node.grant()),
    virtualSizeBytes: disk.bytes.length,
  };
}

describe('the size of a block stream', () => {
  it('is what the stream itself would have, and no byte of it leaves', async () => {
    const before = node.uplink.passedBytes;
    const { wireBytes } = await node.client.measureBlocks(await about());
    expect(node.uplink.passedBytes).toBe(before);
    const sent = await node.client.readBlocks({ ...(await about()), onBlocks: () => undefined });
    expect(wireBytes).toBe(sent.wireBytes);
    expect(disk.held).toBe(0);
  });

  it('is told to whoever may read the recipe, which says more', async () => {
    const recipeOnly = await node.grant({ scopes: ['recipe'] });
    const { wireBytes } = await node.client.measureBlocks(await about(recipeOnly));
    expect(wireBytes).toBeGreaterThan(0);
    const blocksOnly = await node.grant({ scopes: ['blocks'] });
    await expect(node.client.measureBlocks(await about(blocksOnly))).rejects.toMatchObject({
      code: 'forbidden',
    });
  });

  it('is not told of what is not here, or can not be read', async () => {
    disk.presentSegments = Uint8Array.of(1);
    const measured = async () => await node.client.measureBlocks(await about());
    await expect(measured()).rejects.toMatchObject({ code: 'not_found' });
    disk.presentSegments = undefined;
    disk.beforeRead = () => {
      throw new VmdnError('withdrawn', 'gone');
    };
    await expect(measured()).rejects.toMatchObject({ code: 'withdrawn' });
    expect(disk.held).toBe(0);
  });
});
