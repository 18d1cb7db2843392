import { zstdDecompressSync } from 'node:zlib';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outlineOf, answerOf as rowsOf } from '../formats/recipe-outline.fixture.ts';
import { encodeRowRequest, rowsLength } from '../formats/recipe-rows.ts';
import { signProof } from './auth/proof.ts';
import { GRANT_HEADER, PROOF_HEADER } from './contracts/disks.ts';
import {
  diskBytes,
  EDGE,
  HOLDER,
  memoryDisk,
  startTestNode,
  type TestNode,
} from './disk-routes.fixture.ts';

/** 3 MiB and a short last block. */
const disk = memoryDisk(diskBytes(3 * 2 ** 20 + 512));
const rows = disk.recipe.blockMasks.length;
const outline = Buffer.from(outlineOf(disk.recipe));
const runs = Uint32Array.of(0, 2, 5, 7, rows - 1, 1);
const answer = Buffer.from(rowsOf(disk.recipe, runs));

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode([disk]);
});
afterAll(async () => await node[Symbol.asyncDispose]());

async function ask(
  what: 'recipe-outline' | 'recipe-rows',
  options: { body?: Uint8Array; headers?: Record<string, string>; grant?: string } = {},
) {
  const path = `/v1/disks/${disk.digest}/${what}`;
  const method = what === 'recipe-rows' ? 'POST' : 'GET';
  const grant = options.grant ?? (await node.grant());
  const { body, headers } = options;
  const proof = await signProof(node.edgeKey, {
    ...{ keyId: EDGE, audience: HOLDER, method, path, body, grant },
  });
  const reply = await request(`${node.url}${path}`, {
    method,
    headers: { ...headers, [GRANT_HEADER]: grant, [PROOF_HEADER]: proof },
    body: body ?? null,
  });
  const bytes = Buffer.from(await reply.body.arrayBuffer());
  const isJson = String(reply.headers['content-type']).includes('json');
  const code = isJson ? JSON.parse(bytes.toString()).error.code : undefined;
  return { status: reply.statusCode, headers: reply.headers, bytes, code };
}

const wanted = async () => ({
  url: node.url,
  holder: HOLDER,
  digest: disk.digest,
  grant: await node.grant(),
});

describe('the outline of a recipe', () => {
  it('is what the format says, with a tag of its own', async () => {
    const reply = await ask('recipe-outline');
    expect(reply.status).toBe(200);
    expect(reply.headers.etag).toBe(`"${disk.digest}-outline"`);
    expect(reply.headers['content-length']).toBe(String(outline.length));
    expect(reply.bytes.equals(outline)).toBe(true);
  });

  it('comes compressed to those who accept it, under another tag', async () => {
    const reply = await ask('recipe-outline', { headers: { 'accept-encoding': 'zstd' } });
    expect(reply.headers['content-encoding']).toBe('zstd');
    expect(reply.headers.etag).toBe(`"${disk.digest}-outline-zstd"`);
    expect(zstdDecompressSync(reply.bytes).equals(outline)).toBe(true);
  });

  it('that the client has already is not sent again', async () => {
    for (const tag of [`${disk.digest}-outline`, `${disk.digest}-outline-zstd`]) {
      const reply = await ask('recipe-outline', { headers: { 'if-none-match': `"${tag}"` } });
      expect([reply.status, reply.bytes.length]).toEqual([304, 0]);
    }
    const other = { 'if-none-match': `"${disk.digest}"` };
    expect((await ask('recipe-outline', { headers: other })).status).toBe(200);
  });
});

describe('rows of a recipe', () => {
  const body = encodeRowRequest(runs);

  it('are those that were asked for, plain or compressed, and never kept', async () => {
    const plain = await ask('recipe-rows', { body });
    expect(plain.bytes.equals(answer)).toBe(true);
    expect(plain.headers['content-length']).toBe(String(answer.length));
    expect(plain.headers['cache-control']).toBe('no-store');
    const coded = await ask('recipe-rows', { body, headers: { 'accept-encoding': 'zstd' } });
    expect(coded.headers['content-encoding']).toBe('zstd');
    expect(zstdDecompressSync(coded.bytes).equals(answer)).toBe(true);
  });

  it.each([
    ['without a body', new Uint8Array(), 400, 'invalid_input'],
    ['in other words', Buffer.from('rows, please, all of them'), 400, 'invalid_input'],
    ['past the last row', encodeRowRequest(Uint32Array.of(rows, 1)), 400, 'invalid_input'],
    ['twice', encodeRowRequest(Uint32Array.of(0, 2, 1, 1)), 400, 'invalid_input'],
    ['in a body beyond the limit', new Uint8Array(2 ** 20), 413, 'too_large'],
  ])('asked for %s are refused, and the disk is let go', async (_, wrong, status, code) => {
    expect(await ask('recipe-rows', { body: wrong })).toMatchObject({ status, code });
    expect(disk.held).toBe(0);
  });
});

describe('both', () => {
  it('need a grant for recipes; one for blocks does not do', async () => {
    const grant = await node.grant({ scopes: ['blocks'] });
    const body = encodeRowRequest(runs);
    expect(await ask('recipe-outline', { grant })).toMatchObject({ status: 403 });
    expect(await ask('recipe-rows', { grant, body })).toMatchObject({ status: 403 });
  });

  it('count against the byte cap of their grant, like the recipe', async () => {
    const grant = await node.grant({ bytesMax: outline.length });
    expect((await ask('recipe-outline', { grant })).status).toBe(200);
    const body = encodeRowRequest(runs);
    expect(await ask('recipe-rows', { grant, body })).toMatchObject({ code: 'quota_exceeded' });
  });

  it('pass the uplink like the recipe, and the client counts the same bytes', async () => {
    const before = node.uplink.passedBytes;
    const first = await node.client.readOutline(await wanted());
    const rowsBytes = rowsLength(10, (answer.length - rowsLength(10, 0)) / 8);
    const second = await node.client.readRows({ ...(await wanted()), runs, rowsBytes });
    expect(Buffer.from(first.bytes).equals(outline)).toBe(true);
    expect(Buffer.from(second.bytes).equals(answer)).toBe(true);
    expect(node.uplink.passedBytes - before).toBe(first.wireBytes + second.wireBytes);
    expect(disk.held).toBe(0);
  });
});
