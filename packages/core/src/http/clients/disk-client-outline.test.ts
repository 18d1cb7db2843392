import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { generateNodeKey } from '../auth/keys.ts';
import { diskBytes, EDGE, HOLDER, memoryDisk } from '../disk-routes.fixture.ts';
import { createDiskClient } from './disk-client.ts';

const disk = memoryDisk(diskBytes(2 ** 20));
const noise = crypto.getRandomValues(new Uint8Array(65_536));
const bomb = zstdCompressSync(new Uint8Array(2 ** 26));

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Asks a server that answers with `body` for an outline or for rows. */
async function ask(
  what: 'readOutline' | 'readRows',
  options: { body: Uint8Array; coding?: string; bytes?: number },
) {
  let wireBytes = 0;
  const listener: RequestListener = (_, response) => {
    const { coding, body } = options;
    response.writeHead(200, coding === undefined ? {} : { 'content-encoding': coding }).end(body);
  };
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = createDiskClient({ key: await generateNodeKey(), nodeId: EDGE });
  cleanups.push(
    () => server.closeAllConnections(),
    () => new Promise((resolve) => server.close(resolve)),
    () => client[Symbol.asyncDispose](),
  );
  const wanted = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    holder: HOLDER,
    digest: disk.digest,
    grant: 'grant',
    onWireBytes: (bytes: number) => {
      wireBytes += bytes;
    },
  };
  const reading =
    what === 'readOutline'
      ? client.readOutline({ ...wanted, recipeBytes: options.bytes })
      : client.readRows({ ...wanted, runs: Uint32Array.of(0, 1), rowsBytes: options.bytes ?? 0 });
  const result = await reading.catch((error: unknown) => error);
  return { result, wireBytes: () => wireBytes };
}

/** By its code alone: a wrong answer of megabytes would be printed for minutes. */
const codeOf = (result: unknown): unknown => (result as { code?: unknown }).code;

describe.each(['readOutline', 'readRows'] as const)('an answer to %s', (what) => {
  it('is taken plain or compressed, in a buffer of its own, and counted as it came', async () => {
    const plain = noise.slice(0, 1000);
    for (const [body, coding] of [
      [plain, undefined],
      [zstdCompressSync(plain), 'zstd'],
    ] as const) {
      const options = { body, bytes: 1000, ...(coding === undefined ? {} : { coding }) };
      const { result } = await ask(what, options);
      expect(result).toMatchObject({ wireBytes: body.length });
      const { bytes } = result as { bytes: Uint8Array };
      expect([bytes.length, bytes.buffer.byteLength]).toEqual([1000, 1000]);
      expect(bytes).toEqual(plain);
    }
  });

  it.each([
    ['longer than any right one', { body: noise }],
    ['that unpacks without end', { body: bomb, coding: 'zstd' }],
    ['in another coding', { body: noise.subarray(0, 1000), coding: 'br' }],
    ['of half a frame', { body: zstdCompressSync(noise).subarray(0, 900), coding: 'zstd' }],
  ])('I2: %s is corrupt', async (_, options) => {
    const { result } = await ask(what, { ...options, bytes: 1000 });
    expect(codeOf(result)).toBe('corrupt');
  });

  it('I2: without end is cut after what the right answer could have been', async () => {
    const body = new Uint8Array(8 * 2 ** 20);
    const { result, wireBytes } = await ask(what, { body, bytes: 1000 });
    expect(codeOf(result)).toBe('corrupt');
    expect(wireBytes()).toBeGreaterThan(0);
    expect(wireBytes()).toBeLessThan(2 ** 20);
  });
});

describe('rows', () => {
  it('that are fewer than they must be are corrupt before anybody looks into them', async () => {
    const { result } = await ask('readRows', { body: noise.subarray(0, 999), bytes: 1000 });
    expect(codeOf(result)).toBe('corrupt');
  });
});
