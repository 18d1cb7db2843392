import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { constants, createZstdCompress, zstdCompressSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { encodeBlockStreamEnd, encodeRunHeader } from '../../formats/block-stream.ts';
import { generateNodeKey } from '../auth/keys.ts';
import { diskBytes, EDGE, HOLDER, memoryDisk } from '../disk-routes.fixture.ts';
import { createDiskClient, type DiskClient, type DiskClientLimits } from './disk-client.ts';

const disk = memoryDisk(diskBytes(2 ** 20));
const blocks = disk.bytes.length / 4096;
const noise = crypto.getRandomValues(new Uint8Array(65_536));
const magic = Buffer.from('VMDNBLK1');
const wholeStream = Buffer.concat([
  magic,
  encodeRunHeader(0, blocks),
  disk.bytes,
  encodeBlockStreamEnd('complete'),
]);

// Megabytes through a compressor, on machines that have other things to do.
vi.setConfig({ testTimeout: 60_000 });

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server that answers whatever the test wants, and a client for it. */
async function against(
  listener: RequestListener,
  limits: Partial<DiskClientLimits> = {},
): Promise<{ url: string; client: DiskClient }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = createDiskClient({ key: await generateNodeKey(), nodeId: EDGE, limits });
  cleanups.push(
    () => server.closeAllConnections(),
    () => new Promise((resolve) => server.close(resolve)),
    () => client[Symbol.asyncDispose](),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, client };
}

interface Options {
  readonly limits?: Partial<DiskClientLimits>;
  readonly signal?: AbortSignal;
  readonly onBlocks?: (start: number, count: number, bytes: Uint8Array) => void | Promise<void>;
  readonly onWireBytes?: (bytes: number) => void;
}

async function readAll(listener: RequestListener, options: Options = {}) {
  const { url, client } = await against(listener, options.limits);
  const { onBlocks = () => undefined, signal, onWireBytes } = options;
  return await client.readBlocks({
    url,
    holder: HOLDER,
    digest: disk.digest,
    grant: 'grant',
    virtualSizeBytes: disk.bytes.length,
    runs: Uint32Array.of(0, blocks),
    onBlocks,
    signal,
    onWireBytes,
  });
}

const answerWith =
  (body: Uint8Array): RequestListener =>
  (_, response) => {
    response.end(body);
  };

describe('a blocks answer', () => {
  it('is handed on one call at a time, in order, in bytes that stay until the call is done', async () => {
    const got = new Uint8Array(disk.bytes.length);
    let [running, next] = [0, 0];
    const { wireBytes } = await readAll(answerWith(zstdCompressSync(wholeStream)), {
      onBlocks: async (start, count, bytes) => {
        expect([running, start]).toEqual([0, next]);
        running += 1;
        next = start + count;
        await new Promise((resolve) => setImmediate(resolve));
        got.set(bytes, start * 4096);
        running -= 1;
      },
    });
    expect(Buffer.compare(got, disk.bytes)).toBe(0);
    expect(wireBytes).toBe(zstdCompressSync(wholeStream).length);
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['bytes that are not zstd', Buffer.from('x'.repeat(5000))],
    ['half a zstd frame', zstdCompressSync(wholeStream).subarray(0, 20_000)],
    ['a stream without its final record', zstdCompressSync(wholeStream.subarray(0, -8))],
    ['half a stream', zstdCompressSync(wholeStream.subarray(0, 300_000))],
    ['a stream with bytes after its end', zstdCompressSync(Buffer.concat([wholeStream, noise]))],
    ['another run', zstdCompressSync(Buffer.concat([magic, encodeRunHeader(1, 5), noise]))],
    ['a bomb', zstdCompressSync(new Uint8Array(64 * 2 ** 20))],
  ])('I3: of %s is corrupt', async (_, body) => {
    await expect(readAll(answerWith(body))).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('I2: of a frame that wants 128 MiB of window is corrupt', async () => {
    const compressor = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: 27 } });
    const listener: RequestListener = (_, response) => {
      compressor.pipe(response);
      compressor.write(wholeStream.subarray(0, 200_000));
      compressor.end(wholeStream.subarray(200_000));
    };
    await expect(readAll(listener)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('I2: without end is cut after what the right answer could have been', async () => {
    const received: number[] = [];
    // A frame header and then raw blocks of no bytes, of which none is the last (RFC 8878, 3.1.1.2).
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]);
    const emptyBlocks = Buffer.alloc(3 * 20_000);
    const pump = (response: ServerResponse): void => {
      while (!response.destroyed && response.write(emptyBlocks));
      response.once('drain', () => pump(response));
    };
    const listener: RequestListener = (_, response) => {
      response.write(header);
      pump(response);
    };
    const reading = readAll(listener, {
      onWireBytes: (bytes) => received.push(bytes),
    });
    await expect(reading).rejects.toMatchObject({ code: 'corrupt' });
    const total = received.reduce((sum, bytes) => sum + bytes, 0);
    expect(total).toBeGreaterThan(disk.bytes.length);
    expect(total).toBeLessThan(disk.bytes.length + 512 * 1024);
  });

  it('I3: of a server that cuts the connection is unavailable', async () => {
    const body = zstdCompressSync(wholeStream);
    const cut: RequestListener = (_, response) => {
      response.writeHead(200, { 'content-length': body.length });
      response.write(body.subarray(0, 10_000), () => response.destroy());
    };
    await expect(readAll(cut)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(readAll((request) => request.socket.destroy())).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  it.each([
    ['never begins', { headersTimeoutMs: 100 }, () => undefined],
    [
      'falls silent',
      { silenceMs: 100 },
      (_: unknown, response: ServerResponse) => {
        response.write(zstdCompressSync(wholeStream).subarray(0, 100));
      },
    ],
    [
      'trickles',
      { trickleMs: 200, trickleBytes: 1000 },
      (_: unknown, response: ServerResponse) => {
        const body = zstdCompressSync(wholeStream);
        let at = 0;
        const timer = setInterval(() => response.write(body.subarray(at, ++at)), 10);
        response.on('close', () => clearInterval(timer));
      },
    ],
  ])('I3: that %s is a timeout', async (_, limits, listener) => {
    const reading = readAll(listener as RequestListener, { limits });
    await expect(reading).rejects.toMatchObject({ code: 'timeout' });
  });

  it('ends when the caller cancels it', async () => {
    const abort = new AbortController();
    const reading = readAll(answerWith(zstdCompressSync(wholeStream)), {
      signal: abort.signal,
      onBlocks: () => abort.abort(),
    });
    await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('ends with what the receiver threw, as it was', async () => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    let calls = 0;
    const reading = readAll(answerWith(zstdCompressSync(wholeStream)), {
      onBlocks: () => {
        calls += 1;
        throw full;
      },
    });
    await expect(reading).rejects.toBe(full);
    expect(calls).toBe(1);
  });

  it('waits for a slow receiver instead of piling up', async () => {
    let sent = 0;
    const gate = Promise.withResolvers<void>();
    const big = memoryDisk(new Uint8Array(4096).fill(1));
    const size = 32 * 2 ** 20;
    const listener: RequestListener = (_, response) => {
      const body = zstdCompressSync(
        Buffer.concat([
          magic,
          encodeRunHeader(0, size / 4096),
          ...Array(size / noise.length).fill(noise),
          encodeBlockStreamEnd('complete'),
        ]),
        { params: { [constants.ZSTD_c_windowLog]: 10 } },
      );
      const pump = (): void => {
        while (sent < body.length) {
          const piece = body.subarray(sent, sent + 65_536);
          sent += piece.length;
          if (!response.write(piece)) {
            response.once('drain', pump);
            return;
          }
        }
        response.end();
      };
      pump();
    };
    const { url, client } = await against(listener);
    const reading = client.readBlocks({
      url,
      holder: HOLDER,
      digest: big.digest,
      grant: 'grant',
      virtualSizeBytes: size,
      runs: Uint32Array.of(0, size / 4096),
      onBlocks: () => gate.promise,
    });
    let [last, quiet] = [-1, 0];
    await vi.waitFor(
      () => {
        quiet = sent > 0 && sent === last ? quiet + 1 : 0;
        last = sent;
        expect(quiet).toBeGreaterThan(10);
      },
      { timeout: 45_000, interval: 50 },
    );
    expect(sent).toBeLessThan(16 * 2 ** 20);
    gate.resolve();
    await reading;
  });
});

describe('an error answer', () => {
  it.each([
    [410, '{"error":{"code":"withdrawn","message":"gone"}}', 'withdrawn'],
    [429, '{"error":{"code":"quota_exceeded","message":"used up"}}', 'quota_exceeded'],
    [503, 'not json', 'unavailable'],
    [403, '', 'forbidden'],
    [500, 'x'.repeat(10 ** 6), 'unavailable'],
    [302, '', 'invalid_input'],
  ])('of status %i gives the code that it carries or means', async (status, body, code) => {
    const listener: RequestListener = (_, response) => {
      response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end(body);
    };
    await expect(readAll(listener)).rejects.toMatchObject({ code });
  });
});

describe('a recipe answer', () => {
  const readRecipe = async (listener: RequestListener, recipeBytes?: number) => {
    const { url, client } = await against(listener);
    return await client.readRecipe({
      url,
      holder: HOLDER,
      digest: disk.digest,
      keysRoot: disk.keysRoot as never,
      grant: 'grant',
      recipeBytes,
    });
  };
  const coded =
    (body: Uint8Array, coding: string): RequestListener =>
    (_, response) => {
      response.writeHead(200, { 'content-encoding': coding }).end(body);
    };

  it('is taken plain or compressed, and its wire bytes are those of the body', async () => {
    const compressed = zstdCompressSync(disk.recipeFile);
    expect((await readRecipe(answerWith(disk.recipeFile))).wireBytes).toBe(disk.recipeFile.length);
    expect((await readRecipe(coded(compressed, 'zstd'))).wireBytes).toBe(compressed.length);
  });

  it.each([
    ['longer than promised', answerWith(Buffer.concat([disk.recipeFile, noise]))],
    ['that unpacks without end', coded(zstdCompressSync(new Uint8Array(2 ** 26)), 'zstd')],
  ])('I2: %s is cut at the promised length', async (_, listener) => {
    await expect(readRecipe(listener, disk.recipeFile.length)).rejects.toThrow(/longer than/);
  });

  const flipped = Uint8Array.from(disk.recipeFile);
  flipped[flipped.length - 1]! ^= 1;
  it.each([
    ['with one bit wrong', answerWith(flipped)],
    ['cut short', answerWith(disk.recipeFile.subarray(0, -4))],
    ['in another coding', coded(disk.recipeFile, 'br')],
    ['of another disk', answerWith(memoryDisk(diskBytes(2 ** 20, 5)).recipeFile)],
    ['with nothing in it', answerWith(new Uint8Array())],
  ])('I1: %s is corrupt', async (_, listener) => {
    await expect(readRecipe(listener, disk.recipeFile.length)).rejects.toMatchObject({
      code: 'corrupt',
    });
  });
});
