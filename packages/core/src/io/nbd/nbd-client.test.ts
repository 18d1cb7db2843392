import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VmdnError } from '../../domain/errors.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { connectNbd, type NbdClient } from './nbd-client.ts';

const disk = seededBytes('nbd', 64 * 1024);
/** What a server of these tests may be silent; the handshake with it is under the same limit. */
const SILENCE_MS = 1000;
let directory: string;
let server: Server | undefined;
let sockets: Socket[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-nbd-'));
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  [server, sockets] = [undefined, []];
  await rm(directory, { recursive: true });
});

const be = (size: 2 | 4 | 8, value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes.subarray(8 - size);
};

const GREETING = Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), be(2, 3)]);
const optionReply = (option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([be(8, 0x3e889045565a9n), be(4, option), be(4, type), be(4, data.length), data]);
const exportInfo = (size: bigint | number, flags = 0b1_1000_0011): Buffer =>
  Buffer.concat([be(2, 0), be(8, size), be(2, flags)]);
const chunk = (cookie: Buffer, type: number, payload: Buffer, flags = 1): Buffer =>
  Buffer.concat([
    be(4, 0x668e33ef),
    be(2, flags),
    be(2, type),
    cookie,
    be(4, payload.length),
    payload,
  ]);
const data = (cookie: Buffer, offset: number, bytes: Uint8Array, flags = 1): Buffer =>
  chunk(cookie, 1, Buffer.concat([be(8, offset), bytes]), flags);
const status = (cookie: Buffer, words: number[]): Buffer =>
  chunk(cookie, 5, Buffer.concat(words.map((word) => be(4, word))));

interface Request {
  readonly command: number;
  readonly cookie: Buffer;
  readonly offset: number;
  readonly length: number;
}

interface Behaviour {
  /** Answer to an option, instead of the honest one. */
  readonly option?: (option: number) => Buffer | undefined;
  /** Answer to a request, instead of the honest one; null closes the connection. */
  readonly request?: (request: Request) => Buffer | null | undefined;
  readonly greeting?: Buffer;
}

function honestOption(option: number): Buffer {
  if (option === 8) return optionReply(8, 1);
  if (option === 10) {
    const context = Buffer.concat([be(4, 7), Buffer.from('base:allocation')]);
    return Buffer.concat([optionReply(10, 4, context), optionReply(10, 1)]);
  }
  return Buffer.concat([optionReply(7, 3, exportInfo(disk.length)), optionReply(7, 1)]);
}

function honestReply({ command, cookie, offset, length }: Request): Buffer {
  if (command === 7) return status(cookie, [7, length, 0]);
  return data(cookie, offset, disk.subarray(offset, offset + length));
}

/** A server of `disk` that is honest except where told otherwise. */
async function serve(behaviour: Behaviour = {}): Promise<string> {
  const path = join(directory, 'nbd.sock');
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write(behaviour.greeting ?? GREETING);
    let input = Buffer.alloc(0);
    let phase: 'flags' | 'options' | 'requests' = 'flags';
    socket.on('data', (bytes: Buffer) => {
      input = Buffer.concat([input, bytes]);
      for (;;) {
        const size =
          phase === 'flags'
            ? 4
            : phase === 'requests'
              ? 28
              : 16 + (input.length < 16 ? 0 : input.readUInt32BE(12));
        if (input.length < size) return;
        const message = input.subarray(0, size);
        input = input.subarray(size);
        if (phase === 'flags') {
          phase = 'options';
        } else if (phase === 'options') {
          const option = message.readUInt32BE(8);
          if (option === 7) phase = 'requests';
          socket.write(behaviour.option?.(option) ?? honestOption(option));
        } else if (message.readUInt16BE(6) === 2) {
          socket.end();
        } else {
          const request = {
            command: message.readUInt16BE(6),
            cookie: Buffer.from(message.subarray(8, 16)),
            offset: Number(message.readBigUInt64BE(16)),
            length: message.readUInt32BE(24),
          };
          const reply = behaviour.request?.(request);
          if (reply === null) socket.destroy();
          else socket.write(reply ?? honestReply(request));
        }
      }
    });
  });
  await new Promise<void>((resolve) => server!.listen(path, resolve));
  return path;
}

const open = async (behaviour?: Behaviour, timeoutMs = 10_000): Promise<NbdClient> =>
  connectNbd({ socketPath: await serve(behaviour), timeoutMs });

describe('the NBD client', () => {
  test('I1, I4: a hundred reads at once all get their own bytes', async () => {
    const client = await open();
    expect(client).toMatchObject({
      sizeBytes: disk.length,
      canMultiConn: true,
      hasBlockStatus: true,
    });
    const targets = Array.from({ length: 100 }, () => Buffer.alloc(512));
    await Promise.all(targets.map((target, i) => client.read(target, i * 512)));
    expect(Buffer.concat(targets).equals(disk.subarray(0, 51_200))).toBe(true);
    await client.close();
    await client.close();
    await expect(client.read(targets[0]!, 0)).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('I1: chunks of data and holes in order make one read', async () => {
    const client = await open({
      request: ({ cookie, offset }) =>
        Buffer.concat([
          data(cookie, offset, disk.subarray(0, 100), 0),
          chunk(cookie, 2, Buffer.concat([be(8, offset + 100), be(4, 300)]), 0),
          data(cookie, offset + 400, disk.subarray(400, 512), 0),
          chunk(cookie, 0, Buffer.alloc(0)),
        ]),
    });
    const target = Buffer.alloc(512, 1);
    await client.read(target, 0);
    const expected = Buffer.from(disk.subarray(0, 512)).fill(0, 100, 400);
    expect(target.equals(expected)).toBe(true);
  });

  test('a server without structured replies is read too, and has no block status', async () => {
    const client = await open({
      option: (option) => (option === 8 ? optionReply(8, 0x8000_0001) : undefined),
      request: ({ cookie, offset, length }) =>
        Buffer.concat([
          be(4, 0x67446698),
          be(4, 0),
          cookie,
          disk.subarray(offset, offset + length),
        ]),
    });
    const target = Buffer.alloc(700);
    await client.read(target, 33);
    expect(target.equals(disk.subarray(33, 733))).toBe(true);
    expect(await client.blockStatus(0, 4096)).toEqual(Uint32Array.of(4096, 0));
  });

  test('I2: an error fails its own request, the connection lives on', async () => {
    const client = await open({
      request: ({ cookie, offset }) => {
        if (offset !== 512) return undefined;
        return chunk(cookie, 0x8001, Buffer.concat([be(4, 5), be(2, 3), Buffer.from('bad')]));
      },
    });
    const [good, bad, after] = await Promise.allSettled(
      [0, 512, 1024].map((offset) => client.read(Buffer.alloc(512), offset)),
    );
    expect([good!.status, bad!.status, after!.status]).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(bad).toMatchObject({
      reason: { code: 'unavailable', message: 'The disk cannot be read (EIO: bad).' },
    });
  });

  test('I2, I3: a server that dies or falls silent fails every request, once, as unavailable', async () => {
    let requests = 0;
    const dying = await open({
      request: () => {
        requests += 1;
        return requests < 20 ? Buffer.alloc(0) : null;
      },
    });
    // Sixteen go out and get no answer; the others wait. All of them end when the server does.
    const reads = Array.from({ length: 20 }, () => dying.read(Buffer.alloc(512), 0));
    for (const socket of sockets) socket.destroy();
    for (const result of await Promise.allSettled(reads)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
    }
    await dying.close();
    await new Promise((resolve) => server!.close(resolve));
    const silent = await open({ request: () => Buffer.alloc(0) }, SILENCE_MS);
    await expect(silent.read(Buffer.alloc(512), 0)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/silent/),
    });
  });

  test('I2: a process that stood still reads what came meanwhile, and calls nobody silent', async () => {
    const standStill = (): undefined => {
      // The reply is on its way when the loop goes on, and so is the time.
      setImmediate(() =>
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SILENCE_MS + 100),
      );
    };
    const client = await open({ request: standStill }, SILENCE_MS);
    const target = Buffer.alloc(512);
    await client.read(target, 512);
    expect(target.equals(disk.subarray(512, 1024))).toBe(true);
    await client.close();
  });

  test('nobody there is unavailable; an abort is cancelled and ends what is in flight', async () => {
    const nobody = connectNbd({ socketPath: join(directory, 'none') });
    await expect(nobody).rejects.toMatchObject({ code: 'unavailable' });
    const aborter = new AbortController();
    const socketPath = await serve({ request: () => Buffer.alloc(0) });
    const client = await connectNbd({ socketPath, signal: aborter.signal });
    const read = client.read(Buffer.alloc(512), 0);
    aborter.abort();
    await expect(read).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('reads outside the disk are refused before they are sent', async () => {
    const client = await open({ request: () => null });
    for (const [offset, length] of [
      [disk.length, 1],
      [disk.length - 1, 2],
      [-1, 1],
      [0.5, 1],
      [0, 0],
      [Number.NaN, 1],
    ] as const) {
      const read = client.read(Buffer.alloc(length), offset);
      await expect(read).rejects.toMatchObject({ code: 'invalid_input' });
    }
  });

  test('block status is clamped to what was asked; lies about it are corrupt', async () => {
    const answers: [number[], unknown][] = [
      [[7, 1000, 3, 100_000, 0], Uint32Array.of(1000, 3, 3096, 0)],
      [[7, 1000, 3], Uint32Array.of(1000, 3)],
      [[8, 4096, 0], 'corrupt'],
      [[7, 0, 0], 'corrupt'],
      [[7, 4096], 'corrupt'],
      [[7], 'corrupt'],
      [[7, 4096, 0, 4096, 0], 'corrupt'],
    ];
    let answer: number[] = [];
    const socketPath = await serve({ request: ({ cookie }) => status(cookie, answer) });
    for (const [words, expected] of answers) {
      answer = words;
      const client = await connectNbd({ socketPath });
      const found = client.blockStatus(0, 4096);
      if (expected === 'corrupt') await expect(found).rejects.toMatchObject({ code: 'corrupt' });
      else expect(await found).toEqual(expected);
      await client.close();
    }
  });

  const other = (cookie: Buffer): Buffer => Buffer.concat([be(4, 99), cookie.subarray(4)]);
  const lies: Record<string, NonNullable<Behaviour['request']>> = {
    'another reply magic': () => Buffer.alloc(32, 1),
    'the reply to nobody': ({ cookie, offset }) =>
      data(other(cookie), offset, disk.subarray(0, 512)),
    'a slot that does not exist': ({ offset }) =>
      data(Buffer.alloc(8, 255), offset, disk.subarray(0, 512)),
    'too much data': ({ cookie, offset }) => data(cookie, offset, disk.subarray(0, 513)),
    'too little data': ({ cookie, offset }) => data(cookie, offset, disk.subarray(0, 511)),
    'data twice': ({ cookie, offset }) =>
      Buffer.concat([
        data(cookie, offset, disk.subarray(0, 512), 0),
        data(cookie, offset, disk.subarray(0, 512)),
      ]),
    'data of another offset': ({ cookie, offset }) =>
      data(cookie, offset + 1, disk.subarray(0, 512)),
    'a simple reply': ({ cookie }) => Buffer.concat([be(4, 0x67446698), be(4, 0), cookie]),
    'a block status': ({ cookie }) => status(cookie, [7, 512, 0]),
    'a hole of 4 GiB': ({ cookie, offset }) =>
      chunk(cookie, 2, Buffer.concat([be(8, offset), be(4, 0xffff_ffff)])),
    'an unknown chunk': ({ cookie }) => chunk(cookie, 99, Buffer.alloc(4)),
    'an endless chunk': ({ cookie }) =>
      Buffer.concat([chunk(cookie, 5, Buffer.alloc(0)).subarray(0, 16), be(4, 0xffff_ffff)]),
    'done with nothing': ({ cookie }) => chunk(cookie, 0, Buffer.alloc(0)),
    'an error that is cut': ({ cookie }) => chunk(cookie, 0x8001, Buffer.alloc(3)),
    'an error longer than it is': ({ cookie }) =>
      chunk(cookie, 0x8001, Buffer.concat([be(4, 5), be(2, 999)])),
  };

  test.each(Object.entries(lies))('I1: %s is corrupt', async (_name, request) => {
    const client = await open({ request });
    await expect(client.read(Buffer.alloc(512), 0)).rejects.toMatchObject({ code: 'corrupt' });
    await expect(client.read(Buffer.alloc(512), 0)).rejects.toMatchObject({ code: 'corrupt' });
  });

  const shakes: Record<string, [Behaviour, string]> = {
    'no NBD server': [{ greeting: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') }, 'corrupt'],
    'an old-style server': [
      { greeting: Buffer.concat([Buffer.from('NBDMAGIC'), Buffer.alloc(10)]) },
      'corrupt',
    ],
    'the reply to another option': [{ option: () => optionReply(3, 1) }, 'corrupt'],
    'an oversized reply': [
      { option: () => Buffer.concat([optionReply(8, 1).subarray(0, 16), be(4, 0xffff_ffff)]) },
      'corrupt',
    ],
    'replies without end': [
      {
        option: (option) =>
          option === 7 ? Buffer.concat(Array(99).fill(optionReply(7, 3, be(2, 9)))) : undefined,
      },
      'corrupt',
    ],
    'no size': [{ option: (option) => (option === 7 ? optionReply(7, 1) : undefined) }, 'corrupt'],
    'a size beyond the limit': [
      { option: (option) => (option === 7 ? optionReply(7, 3, exportInfo(2n ** 63n)) : undefined) },
      'too_large',
    ],
    'an unknown export': [
      { option: (option) => (option === 7 ? optionReply(7, 0x8000_0006) : undefined) },
      'not_found',
    ],
  };

  test.each(Object.entries(shakes))('the handshake: %s', async (_name, [behaviour, code]) => {
    await expect(open(behaviour)).rejects.toMatchObject({ code });
  });

  test('random bytes at any point end in a VmdnError, never in a crash or a wait', async () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 });
    const phase = fc.constantFrom('greeting', 'option', 'request');
    let garbage = Buffer.alloc(0);
    let where = '';
    const end = (): Buffer => Buffer.concat([garbage, Buffer.alloc(70_000, garbage)]);
    const socketPath = await serve({
      get greeting() {
        return where === 'greeting' ? end() : GREETING;
      },
      option: () => (where === 'option' ? end() : undefined),
      request: () => (where === 'request' ? end() : undefined),
    });
    await fc.assert(
      fc.asyncProperty(bytes, phase, async (random, at) => {
        [garbage, where] = [Buffer.from(random), at];
        try {
          const client = await connectNbd({ socketPath, timeoutMs: 2000 });
          await client.read(Buffer.alloc(512), 0);
          expect.unreachable();
        } catch (error) {
          expect(error).toBeInstanceOf(VmdnError);
          expect((error as VmdnError).code).not.toBe('internal');
        }
      }),
      { numRuns: 150 },
    );
  });
});
