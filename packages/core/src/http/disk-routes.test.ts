import { zstdDecompressSync } from 'node:zlib';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isVmdnError, VmdnError } from '../domain/errors.ts';
import type { Id } from '../domain/names.ts';
import { encodeBlockRequest } from '../formats/block-request.ts';
import { seededBytes } from '../formats/recipe.fixture.ts';
import { decodeKeyRange, decodeSegmentRange } from '../formats/recipe-range.ts';
import { generateNodeKey, type NodeKey } from './auth/keys.ts';
import { signProof } from './auth/proof.ts';
import { DISK_OPERATIONS, GRANT_HEADER, PROOF_HEADER } from './contracts/disks.ts';
import {
  diskBytes,
  EDGE,
  HOLDER,
  type MemoryDisk,
  memoryDisk,
  startTestNode,
  type TestNode,
} from './disk-routes.fixture.ts';

/** 3 MiB and a short last block. */
const disk = memoryDisk(diskBytes(3 * 2 ** 20 + 512));
const foreign = memoryDisk(diskBytes(128 * 1024, 7));
/** Stored as it is: its stream is as long at every level of compression, which follows the clock. */
const random = memoryDisk(seededBytes('random', 256 * 1024));
const blocks = Math.ceil(disk.bytes.length / 4096);
const firstBlocks = encodeBlockRequest(Uint32Array.of(0, 8), disk.bytes.length);

interface RawRequest {
  readonly method?: 'GET' | 'POST';
  readonly path?: string;
  /** What the proof says, where it differs from what is sent. */
  readonly proven?: { path?: string; body?: Uint8Array; audience?: string; grant?: string };
  readonly grant?: string;
  readonly key?: NodeKey;
  readonly keyId?: string;
  readonly body?: Uint8Array;
  readonly headers?: Record<string, string>;
  readonly proof?: string;
}

async function raw(node: TestNode, wanted: RawRequest) {
  const { method = 'POST', path = `/v1/disks/${disk.digest}/blocks`, proven = {} } = wanted;
  const body = method === 'GET' ? undefined : (wanted.body ?? firstBlocks);
  const proof =
    wanted.proof ??
    (await signProof(wanted.key ?? node.edgeKey, {
      keyId: wanted.keyId ?? EDGE,
      audience: proven.audience ?? HOLDER,
      method,
      path: proven.path ?? path,
      body: proven.body ?? body,
      grant: proven.grant ?? wanted.grant,
    }));
  const headers: Record<string, string> = { ...wanted.headers, [PROOF_HEADER]: proof };
  if (wanted.grant !== undefined) headers[GRANT_HEADER] = wanted.grant;
  const answer = await request(`${node.url}${path}`, { method, headers, body: body ?? null });
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  const isJson = String(answer.headers['content-type']).includes('json');
  const code = isJson ? JSON.parse(bytes.toString()).error.code : undefined;
  return { status: answer.statusCode, headers: answer.headers, bytes, code, proof };
}

async function readRuns(node: TestNode, from: MemoryDisk, runs: Uint32Array, grant: string) {
  const got = new Uint8Array(from.bytes.length);
  const { wireBytes } = await node.client.readBlocks({
    url: node.url,
    holder: HOLDER,
    digest: from.digest,
    grant,
    virtualSizeBytes: from.bytes.length,
    runs,
    onBlocks: (start, _count, bytes) => got.set(bytes, start * 4096),
  });
  return { got, wireBytes };
}

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode([disk, foreign, random]);
});
afterAll(async () => await node[Symbol.asyncDispose]());
beforeEach(() => {
  disk.readBytes = 0;
  disk.beforeRead = () => undefined;
  disk.presentSegments = undefined;
});

describe('blocks', () => {
  it('are the disk’s own bytes, for runs of every length, the short last block among them', async () => {
    const runs = Uint32Array.of(0, 1, 2, 1, 4, 300, 500, 200, blocks - 1, 1);
    const { got, wireBytes } = await readRuns(node, disk, runs, await node.grant());
    for (let i = 0; i < runs.length; i += 2) {
      const [from, to] = [runs[i]! * 4096, (runs[i]! + runs[i + 1]!) * 4096];
      expect(Buffer.compare(got.subarray(from, to), disk.bytes.subarray(from, to))).toBe(0);
    }
    expect(wireBytes).toBeLessThan(503 * 4096);
    expect(disk.held).toBe(0);
  });

  it('are counted at both ends: what the client received is what the uplink let through', async () => {
    const before = node.uplink.passedBytes;
    const { wireBytes } = await readRuns(node, disk, Uint32Array.of(0, blocks), await node.grant());
    expect(node.uplink.passedBytes - before).toBe(wireBytes);
  });

  it('that the node holds only in part are not_found where they are missing', async () => {
    disk.presentSegments = Uint8Array.of(0b0000_0101);
    const grant = await node.grant();
    await readRuns(node, disk, Uint32Array.of(0, 16, 32, 16), grant);
    disk.readBytes = 0;
    await expect(readRuns(node, disk, Uint32Array.of(15, 2), grant)).rejects.toMatchObject({
      code: 'not_found',
    });
    expect(disk.readBytes).toBe(0);
  });

  it('of a source that is withdrawn before the first byte are an error with its own status', async () => {
    disk.beforeRead = () => {
      throw new VmdnError('withdrawn', 'gone');
    };
    const answer = await raw(node, { grant: await node.grant() });
    expect(answer).toMatchObject({ status: 410, code: 'withdrawn' });
    expect(disk.held).toBe(0);
  });

  it.each([
    ['withdrawn', new VmdnError('withdrawn', 'gone'), 'withdrawn'],
    ['unreadable', new Error('EIO'), 'unavailable'],
  ])('of a source that becomes %s on the way end with that status', async (_, thrown, code) => {
    disk.beforeRead = (offset) => {
      if (offset >= 2 * 2 ** 20) throw thrown;
    };
    let delivered = 0;
    const reading = node.client.readBlocks({
      url: node.url,
      holder: HOLDER,
      digest: disk.digest,
      grant: await node.grant(),
      virtualSizeBytes: disk.bytes.length,
      runs: Uint32Array.of(0, blocks),
      onBlocks: (_start, count) => {
        delivered += count;
      },
    });
    await expect(reading).rejects.toMatchObject({ code });
    expect(delivered).toBe(512);
    expect(disk.held).toBe(0);
  });

  it.each([
    ['not a request at all', Buffer.from('hello'), 400, 'invalid_input'],
    ['an empty body', new Uint8Array(), 400, 'invalid_input'],
    ['a run past the end', runsBody([0, 1, blocks, 1]), 400, 'invalid_input'],
    ['runs that overlap', runsBody([0, 4, 3, 1]), 400, 'invalid_input'],
    ['a run of nothing', runsBody([0, 0]), 400, 'invalid_input'],
    ['a huge run', runsBody([0, 0xffff_ffff]), 400, 'invalid_input'],
    ['a body beyond the limit', new Uint8Array(2 ** 20), 413, 'too_large'],
  ])('I1: %s is refused and nothing is read', async (_, body, status, code) => {
    const answer = await raw(node, { grant: await node.grant(), body });
    expect(answer).toMatchObject({ status, code });
    expect(disk.readBytes).toBe(0);
    expect(disk.held).toBe(0);
  });
});

/** A request body with these runs, whether they make sense or not. */
function runsBody(runs: number[]): Uint8Array {
  const bytes = new Uint8Array(16 + runs.length * 4);
  bytes.set(new TextEncoder().encode('VMDNBRQ1'));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, runs.length / 2, true);
  runs.forEach((value, i) => {
    view.setUint32(16 + i * 4, value, true);
  });
  return bytes;
}

describe('grants', () => {
  const refused = async (wanted: RawRequest, status: number, code: string): Promise<void> => {
    expect(await raw(node, wanted)).toMatchObject({ status, code });
    expect(disk.readBytes).toBe(0);
    expect(disk.held).toBe(0);
  };

  it('every operation but the public one refuses a caller without one', async () => {
    for (const operation of DISK_OPERATIONS) {
      const path = operation.path
        .replace('{digest}', disk.digest)
        .replace('{column}', 'keys?from=0&to=1');
      const method = operation.method.toUpperCase() as 'GET';
      const answer = await request(`${node.url}${path}`, { method });
      await answer.body.dump();
      expect([operation.id, answer.statusCode]).toEqual([
        operation.id,
        operation.caller === 'public' ? 200 : 401,
      ]);
    }
  });

  it('that the coordinator did not sign open nothing', async () => {
    const stranger = await startTestNode([disk]);
    const grant = await stranger.grant({ edgeKey: node.edgeKey.publicKey });
    await stranger[Symbol.asyncDispose]();
    await refused({ grant }, 401, 'unauthenticated');
    await refused({ grant: 'aaaa.bbbb.cccc' }, 401, 'unauthenticated');
  });

  it('that were stolen open nothing: the thief has another key', async () => {
    const grant = await node.grant();
    const key = await generateNodeKey();
    await refused({ grant, key }, 401, 'unauthenticated');
    await refused({ grant, key, keyId: crypto.randomUUID() }, 401, 'unauthenticated');
  });

  it('that have expired open nothing', async () => {
    const expiresAt = Math.floor(Date.now() / 1000) - 1;
    await refused({ grant: await node.grant({ expiresAt }) }, 401, 'unauthenticated');
  });

  it('for other disks open nothing, and do not tell whether a disk is here', async () => {
    const grant = await node.grant({ disks: [foreign.digest] });
    await refused({ grant }, 403, 'forbidden');
    const path = `/v1/disks/${'0'.repeat(64)}/blocks`;
    await refused({ grant, path }, 403, 'forbidden');
  });

  it('for recipes do not open blocks, nor the other way round', async () => {
    await refused({ grant: await node.grant({ scopes: ['recipe'] }) }, 403, 'forbidden');
    const path = `/v1/disks/${disk.digest}/recipe`;
    const grant = await node.grant({ scopes: ['blocks'] });
    await refused({ method: 'GET', path, grant }, 403, 'forbidden');
  });

  it('open a disk that is not here only to say so', async () => {
    const digest = '0'.repeat(64) as typeof disk.digest;
    const grant = await node.grant({ disks: [digest] });
    await refused({ grant, path: `/v1/disks/${digest}/blocks` }, 404, 'not_found');
  });

  it('come with a proof for this very request: path, body, receiver and grant', async () => {
    const grant = await node.grant();
    const proofs: RawRequest['proven'][] = [
      { path: `/v1/disks/${foreign.digest}/blocks` },
      { body: encodeBlockRequest(Uint32Array.of(0, 9), disk.bytes.length) },
      { audience: EDGE },
      { grant: await node.grant() },
    ];
    for (const proven of proofs) await refused({ grant, proven: proven! }, 401, 'unauthenticated');
  });

  it('come with a proof that is used once', async () => {
    const grant = await node.grant();
    const first = await raw(node, { grant });
    expect(first.status).toBe(200);
    disk.readBytes = 0;
    await refused({ grant, proof: first.proof }, 401, 'unauthenticated');
  });

  it('I2: never let more out than their cap, over all requests together', async () => {
    const whole = Uint32Array.of(0, blocks);
    const grant = await node.grant();
    const { wireBytes } = await readRuns(node, disk, whole, grant);
    const bytesMax = Math.floor(wireBytes * 1.5);
    const capped = await node.grant({ bytesMax });
    const before = node.uplink.passedBytes;
    await readRuns(node, disk, whole, capped);
    await expect(readRuns(node, disk, whole, capped)).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(node.uplink.passedBytes - before).toBeLessThanOrEqual(bytesMax);
    expect(disk.held).toBe(0);
  });

  it('I2: that are used up are quota_exceeded, and a fresh one is good again', async () => {
    const whole = Uint32Array.of(0, 64);
    const { wireBytes } = await readRuns(node, random, whole, await node.grant());
    const spent = await node.grant({ bytesMax: wireBytes });
    await readRuns(node, random, whole, spent);
    await refused({ grant: spent }, 429, 'quota_exceeded');
    expect((await raw(node, { grant: await node.grant() })).status).toBe(200);
  });
});

describe('recipes', () => {
  const path = `/v1/disks/${disk.digest}/recipe`;
  const get = async (headers: Record<string, string> = {}) =>
    await raw(node, { method: 'GET', path, grant: await node.grant(), headers });

  it('are the file, byte for byte, with the digest as their tag', async () => {
    const answer = await get();
    expect(answer.status).toBe(200);
    expect(answer.headers.etag).toBe(`"${disk.digest}"`);
    expect(answer.headers['content-length']).toBe(String(disk.recipeFile.length));
    expect(Buffer.compare(answer.bytes, disk.recipeFile)).toBe(0);
  });

  it('come compressed to those who accept it, under another tag', async () => {
    const answer = await get({ 'accept-encoding': 'gzip, zstd' });
    expect(answer.headers['content-encoding']).toBe('zstd');
    expect(answer.headers.etag).toBe(`"${disk.digest}-zstd"`);
    expect(Buffer.compare(zstdDecompressSync(answer.bytes), disk.recipeFile)).toBe(0);
  });

  it('that the client has already are not sent again', async () => {
    for (const tag of [disk.digest, `${disk.digest}-zstd`]) {
      const answer = await get({ 'if-none-match': `"${tag}"` });
      expect([answer.status, answer.bytes.length]).toEqual([304, 0]);
    }
    expect((await get({ 'if-none-match': '"other"' })).status).toBe(200);
  });

  it('come in byte ranges, of the file as it is', async () => {
    const answer = await get({ range: 'bytes=10-73', 'accept-encoding': 'zstd' });
    expect(answer.status).toBe(206);
    expect(answer.headers['content-range']).toBe(`bytes 10-73/${disk.recipeFile.length}`);
    expect(Buffer.compare(answer.bytes, disk.recipeFile.subarray(10, 74))).toBe(0);
    const other = await get({ range: 'bytes=10-73', 'if-range': '"other"' });
    expect([other.status, other.bytes.length]).toEqual([200, disk.recipeFile.length]);
    const outside = await get({ range: `bytes=${disk.recipeFile.length}-` });
    expect(outside.status).toBe(416);
    expect(outside.headers['content-range']).toBe(`bytes */${disk.recipeFile.length}`);
  });

  it('come in ranges of a column that verify alone', async () => {
    const grant = await node.grant();
    const range = async (column: string, from: number, to: number) => {
      const rangePath = `${path}/${column}?from=${from}&to=${to}`;
      return await raw(node, { method: 'GET', path: rangePath, grant });
    };
    const virtualSizeBytes = disk.bytes.length;
    const segments = await range('segments', 3, 20);
    const trusted = { virtualSizeBytes, from: 3, to: 20, digest: disk.digest };
    expect(decodeSegmentRange(segments.bytes, trusted).hashes.length).toBeGreaterThan(0);
    const keys = await range('keys', 0, 1);
    const keysRoot = disk.keysRoot as never;
    expect(
      decodeKeyRange(keys.bytes, { virtualSizeBytes, from: 0, to: 1, keysRoot }).keys.length,
    ).toBe(disk.recipe.keys.length);
    expect((await range('keys', 0, 99)).code).toBe('invalid_input');
    expect((await range('keys', 5, 2)).code).toBe('invalid_input');
    expect((await range('hashes', 0, 1)).code).toBe('invalid_input');
    expect((await raw(node, { method: 'GET', path: `${path}/keys`, grant })).code).toBe(
      'invalid_input',
    );
  });

  it('reach the client verified, and counted at both ends', async () => {
    const before = node.uplink.passedBytes;
    const { recipe, recipeBytes, wireBytes } = await node.client.readRecipe({
      url: node.url,
      holder: HOLDER,
      digest: disk.digest,
      keysRoot: disk.keysRoot as never,
      grant: await node.grant(),
      recipeBytes: disk.recipeFile.length,
    });
    expect(recipe.virtualSizeBytes).toBe(disk.bytes.length);
    expect(Buffer.compare(recipeBytes, disk.recipeFile)).toBe(0);
    expect(node.uplink.passedBytes - before).toBe(wireBytes);
  });

  it('under the wrong keysRoot are corrupt', async () => {
    const reading = node.client.readRecipe({
      url: node.url,
      holder: HOLDER,
      digest: disk.digest,
      keysRoot: foreign.keysRoot as never,
      grant: await node.grant(),
    });
    await expect(reading).rejects.toSatisfy((error) => isVmdnError(error, 'corrupt'));
  });
});

it('tells its owner of every admitted request, with the grant’s purpose', async () => {
  const seen: string[] = [];
  await using other = await startTestNode([disk], {
    onAdmitted: (claims, digest) => seen.push(`${claims.purpose} ${digest}`),
  });
  await raw(other, { grant: await other.grant({ purpose: 'seed', teleport: EDGE as Id }) });
  await raw(other, { grant: await other.grant({ disks: [foreign.digest] }) });
  expect(seen).toEqual([`seed ${disk.digest}`]);
});
