import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request } from 'undici';
import { expect, it, vi } from 'vitest';
import { encodeBlockRequest } from '../formats/block-request.ts';
import { signProof } from './auth/proof.ts';
import { GRANT_HEADER, PROOF_HEADER } from './contracts/disks.ts';
import {
  diskBytes,
  EDGE,
  HOLDER,
  type MemoryDisk,
  memoryDisk,
  startTestNode,
  type TestNode,
} from './disk-routes.fixture.ts';

const MIB = 2 ** 20;
const wait = { timeout: 45_000, interval: 50 };
// Megabytes through a compressor, on machines that have other things to do.
vi.setConfig({ testTimeout: 60_000 });

/** Bytes that zstd can't make smaller, so that what is read is what is sent. */
function noise(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}

async function blocksHeaders(node: TestNode, disk: MemoryDisk, body: Uint8Array, grant: string) {
  const path = `/v1/disks/${disk.digest}/blocks`;
  const proof = await signProof(node.edgeKey, {
    keyId: EDGE,
    audience: HOLDER,
    method: 'POST',
    path,
    body,
    grant,
  });
  return { path, headers: { [GRANT_HEADER]: grant, [PROOF_HEADER]: proof } };
}

/** Asks for the whole disk and leaves the answer unread. */
async function askForAll(
  node: TestNode,
  disk: MemoryDisk,
): Promise<{ sent: ClientRequest; answer: IncomingMessage }> {
  const body = encodeBlockRequest(Uint32Array.of(0, disk.bytes.length / 4096), disk.bytes.length);
  const { path, headers } = await blocksHeaders(node, disk, body, await node.grant());
  const sent = httpRequest(`${node.url}${path}`, { method: 'POST', headers });
  sent.on('error', () => undefined);
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return { sent, answer };
}

/** Resolves when the server has read nothing more of the disk for half a second. */
async function readingStopped(disk: MemoryDisk): Promise<number> {
  let [last, quiet] = [-1, 0];
  await vi.waitFor(() => {
    quiet = disk.readBytes === last ? quiet + 1 : 0;
    last = disk.readBytes;
    expect(quiet).toBeGreaterThan(10);
  }, wait);
  return last;
}

it('a receiver that reads slowly holds the source back: memory stays bounded', async () => {
  const disk = memoryDisk(noise(40 * MIB));
  await using node = await startTestNode([disk]);
  const { answer } = await askForAll(node, disk);
  const readAhead = await readingStopped(disk);
  // Three batches, the compressor, and what the kernel's sockets take on loopback (some 6 MiB).
  expect(readAhead).toBeLessThan(20 * MIB);
  let received = 0;
  for await (const piece of answer) received += (piece as Uint8Array).length;
  expect(disk.readBytes).toBe(disk.bytes.length);
  expect(received).toBeGreaterThan(disk.bytes.length);
  expect(disk.held).toBe(0);
});

it('a receiver that goes away stops the reading at once', async () => {
  const disk = memoryDisk(noise(32 * MIB));
  await using node = await startTestNode([disk], { bytesPerSecond: 4 * MIB });
  const { sent, answer } = await askForAll(node, disk);
  await once(answer, 'readable');
  sent.destroy();
  await vi.waitFor(() => expect(disk.held).toBe(0), wait);
  expect(disk.readBytes).toBeLessThan(16 * MIB);
});

it('a receiver that takes nothing is cut, and its slot and disk are free again', async () => {
  const disk = memoryDisk(noise(32 * MIB));
  await using node = await startTestNode([disk], { limits: { stallMs: 300, requestsMax: 1 } });
  const { answer } = await askForAll(node, disk);
  answer.on('error', () => undefined);
  await vi.waitFor(() => expect(disk.held).toBe(0), wait);
  const body = encodeBlockRequest(Uint32Array.of(0, 1), disk.bytes.length);
  const { path, headers } = await blocksHeaders(node, disk, body, await node.grant());
  const next = await request(`${node.url}${path}`, { method: 'POST', headers, body });
  await next.body.dump();
  expect(next.statusCode).toBe(200);
});

it('a request whose body trickles in is cut off before anything is known of its sender', async () => {
  const disk = memoryDisk(diskBytes(MIB));
  await using node = await startTestNode([disk], { limits: { bodyMs: 200 } });
  const body = encodeBlockRequest(Uint32Array.of(0, 1), disk.bytes.length);
  const { path, headers } = await blocksHeaders(node, disk, body, await node.grant());
  const sent = httpRequest(`${node.url}${path}`, {
    method: 'POST',
    headers: { ...headers, 'content-length': body.length },
  });
  sent.write(body.subarray(0, 5));
  await expect(once(sent, 'response')).rejects.toMatchObject({ code: 'ECONNRESET' });
  expect(disk.held).toBe(0);
});

it('more requests at a time than a grant allows are busy, with a time to come back', async () => {
  const disk = memoryDisk(diskBytes(MIB));
  await using node = await startTestNode([disk], { limits: { requestsPerGrantMax: 2 } });
  const gate = Promise.withResolvers<void>();
  disk.beforeRead = () => gate.promise;
  const grant = await node.grant();
  const body = encodeBlockRequest(Uint32Array.of(0, 1), disk.bytes.length);
  const ask = async (by: string) => {
    const { path, headers } = await blocksHeaders(node, disk, body, by);
    const answer = await request(`${node.url}${path}`, { method: 'POST', headers, body });
    await answer.body.dump();
    return [answer.statusCode, answer.headers['retry-after']];
  };
  const first = [ask(grant), ask(grant)];
  await vi.waitFor(() => expect(disk.held).toBe(2), wait);
  expect(await ask(grant)).toEqual([503, '1']);
  const others = ask(await node.grant());
  await vi.waitFor(() => expect(disk.held).toBe(3), wait);
  gate.resolve();
  for (const answer of [...first, others]) expect((await answer)[0]).toBe(200);
  expect((await ask(grant))[0]).toBe(200);
});

it('random bytes, which are stored, arrive as they are although their memory is used again', async () => {
  const disk = memoryDisk(noise(9 * MIB));
  await using node = await startTestNode([disk]);
  const arrived = new Uint8Array(disk.bytes.length);
  await node.client.readBlocks({
    url: node.url,
    holder: HOLDER,
    digest: disk.digest,
    grant: await node.grant(),
    virtualSizeBytes: disk.bytes.length,
    runs: Uint32Array.of(0, disk.bytes.length / 4096),
    onBlocks: (startBlock, _, bytes) => arrived.set(bytes, startBlock * 4096),
  });
  expect(Buffer.compare(arrived, disk.bytes)).toBe(0);
});

it('many streams under one uplink limit get equal shares of it', async () => {
  const disk = memoryDisk(noise(MIB));
  // So slow that the limit is what holds the streams back, on a busy machine too.
  await using node = await startTestNode([disk], { bytesPerSecond: 2 * MIB });
  const received = [0, 0, 0];
  const shares: number[][] = [];
  const gate = Promise.withResolvers<void>();
  disk.beforeRead = () => gate.promise;
  const streams = received.map(async (_, i) => {
    await node.client.readBlocks({
      url: node.url,
      holder: HOLDER,
      digest: disk.digest,
      grant: await node.grant(),
      virtualSizeBytes: disk.bytes.length,
      runs: Uint32Array.of(0, disk.bytes.length / 4096),
      onBlocks: () => undefined,
      onWireBytes: (bytes) => {
        received[i]! += bytes;
        if (received[i]! > (2 / 3) * MIB) shares.push([...received]);
      },
    });
  });
  // All begin together: one that is admitted earlier would have the whole uplink for a while.
  const beginning = vi
    .waitFor(() => expect(disk.held).toBe(3), wait)
    .then(() => {
      gate.resolve();
      return performance.now();
    });
  const [started] = await Promise.all([beginning, ...streams]);
  const seconds = (performance.now() - started) / 1000;
  expect(node.uplink.passedBytes).toBe(received.reduce((sum, bytes) => sum + bytes));
  // 3 MiB at 2 MiB/s.
  expect(seconds).toBeGreaterThan(1.35);
  expect(Math.min(...shares[0]!)).toBeGreaterThan(0.5 * MIB);
});
