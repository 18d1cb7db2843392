import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  diskBytes,
  HOLDER,
  memoryDisk,
  startTestNode,
  type TestNode,
} from './disk-routes.fixture.ts';

const SEGMENTS = 11;
const whole = memoryDisk(diskBytes(SEGMENTS * 65_536, 7));
const part = memoryDisk(diskBytes(SEGMENTS * 65_536, 8));
let node: TestNode;

beforeAll(async () => {
  node = await startTestNode([whole, part]);
});
afterAll(() => node[Symbol.asyncDispose]());

async function segmentsOf({ digest, bytes }: typeof whole): Promise<Uint8Array> {
  const grant = await node.grant();
  const about = { url: node.url, holder: HOLDER, digest, grant };
  const answer = await node.client.readSegments({ ...about, virtualSizeBytes: bytes.length });
  return answer.bytes;
}

describe('the segments of a disk', () => {
  it('are all there where the disk is held in whole', async () => {
    expect(await segmentsOf(whole)).toEqual(Uint8Array.of(0xff, 0xff));
  });

  it('are those that are present where it is held in part, as they are now', async () => {
    part.presentSegments = Uint8Array.of(0b101, 0);
    expect(await segmentsOf(part)).toEqual(Uint8Array.of(0b101, 0));
    part.presentSegments = Uint8Array.of(0b111, 0b10);
    expect(await segmentsOf(part)).toEqual(Uint8Array.of(0b111, 0b10));
  });

  it('I1: that are not present are refused, and nothing is read', async () => {
    part.presentSegments = Uint8Array.of(0b101, 0);
    part.readBytes = 0;
    const about = { url: node.url, holder: HOLDER, digest: part.digest, grant: await node.grant() };
    const read = (...runs: number[]) =>
      node.client.readBlocks({
        ...{ ...about, virtualSizeBytes: part.bytes.length },
        runs: Uint32Array.from(runs),
        onBlocks: () => undefined,
      });
    await expect(read(0, 17)).rejects.toMatchObject({ code: 'not_found' });
    await expect(read(176 - 1, 1)).rejects.toMatchObject({ code: 'not_found' });
    expect(part.readBytes).toBe(0);
    await read(0, 16, 32, 16);
    expect(part.readBytes).toBe(32 * 4096);
  });

  it('are told to nobody whose grant does not open the blocks', async () => {
    const grant = await node.grant({ scopes: ['recipe'] });
    const { digest, bytes } = whole;
    const about = { url: node.url, holder: HOLDER, digest, grant, virtualSizeBytes: bytes.length };
    await expect(node.client.readSegments(about)).rejects.toMatchObject({ code: 'forbidden' });
  });
});
