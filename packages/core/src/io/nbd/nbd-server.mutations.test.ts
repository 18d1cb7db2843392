import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import * as nbd from '../../formats/nbd.ts';
import { connectNbd } from './nbd-client.ts';
import { holedBytes, MemoryDisk, RawClient, request, startServer } from './nbd-server.fixture.ts';

/**
 * Whatever a client sends: valid sessions, changed by every means that a broken or hostile client has. The
 * server answers in messages that can be told apart or closes the connection, soon; it reads nothing outside
 * of the disk, and the next client gets right bytes.
 */

const RUNS = 400;
const DEADLINE_MS = 5000;

const disk = new MemoryDisk(holedBytes());
let served: Awaited<ReturnType<typeof startServer>>;

beforeAll(async () => {
  let turn = 0;
  disk.now = () => {
    turn += 1;
    if (turn % 7 === 0) throw new Error('planted');
    return turn % 3 !== 0;
  };
  disk.later = () => new Promise((resolve) => setImmediate(resolve));
  served = await startServer(disk, { handshakeMs: DEADLINE_MS / 2 });
});

afterAll(async () => {
  await served[Symbol.asyncDispose]();
});

const size = disk.sizeBytes;
const exportName = fc.constantFrom('', 'disk', 'other', 'x'.repeat(5000));
const option = fc.oneof(
  exportName.map((name) => nbd.encodeOption(nbd.OPT_GO, nbd.encodeGo(name, [1, 3]))),
  exportName.map((name) => nbd.encodeOption(nbd.OPT_INFO, nbd.encodeGo(name, []))),
  exportName.map((name) =>
    nbd.encodeOption(nbd.OPT_SET_META_CONTEXT, nbd.encodeMetaContext(name, nbd.CONTEXT_ALLOCATION)),
  ),
  fc
    .tuple(fc.nat({ max: 12 }), fc.uint8Array({ maxLength: 40 }))
    .map(([number, data]) => nbd.encodeOption(number, data)),
);

const place = fc.oneof(
  fc.nat({ max: size }),
  fc.constantFrom(0, size - 1, size, SEGMENT_BYTES - 1, 2 ** 32, 2 ** 53 - 1, 2n ** 64n - 1n),
);
const length = fc.oneof(
  fc.nat({ max: 3 * SEGMENT_BYTES }),
  fc.constantFrom(0, 1, size, 2 ** 25, 2 ** 25 + 1, 2 ** 32 - 1),
);
const command = fc
  .tuple(fc.nat({ max: 9 }), place, length, fc.constantFrom(0, 0, 0, 4, 8, 1, 0xffff), fc.nat())
  .map(([number, at, count, flags, slot]) => {
    const head = request(number, at, count, { flags, slot });
    const payload = number === nbd.CMD_WRITE && count <= size ? count : 0;
    return Buffer.concat([head, Buffer.alloc(payload, 0x25)]);
  });

const flags = fc.constantFrom(3, 3, 3, 1, 0, 2).map((value) => nbd.encodeClientFlags(value));
const structured = nbd.encodeOption(nbd.OPT_STRUCTURED_REPLY);
const context = nbd.encodeOption(
  nbd.OPT_SET_META_CONTEXT,
  nbd.encodeMetaContext('disk', nbd.CONTEXT_ALLOCATION),
);
const go = nbd.encodeOption(nbd.OPT_GO, nbd.encodeGo('disk', [nbd.INFO_BLOCK_SIZE]));

/** A session that could be. */
const session = fc
  .record({
    flags,
    isStructured: fc.boolean(),
    options: fc.array(option, { maxLength: 4 }),
    commands: fc.array(command, { maxLength: 12 }),
  })
  .map(({ flags: first, isStructured, options, commands }) => [
    first,
    ...(isStructured ? [structured, context] : []),
    ...options,
    go,
    ...commands,
  ]);

type Mutation = (messages: Uint8Array[]) => Uint8Array[];
const index = fc.nat();
const joined = (messages: readonly Uint8Array[]): Buffer => Buffer.concat(messages);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(index, fc.nat({ max: 7 })).map(
    ([at, bit]): Mutation =>
      (messages) => {
        const bytes = joined(messages);
        bytes[at % bytes.length]! ^= 1 << bit;
        return [bytes];
      },
  ),
  index.map(
    (at): Mutation =>
      (messages) => {
        const bytes = joined(messages);
        return [bytes.subarray(0, 1 + (at % bytes.length))];
      },
  ),
  fc.tuple(index, fc.constantFrom(0xff, 0x7f, 0x80, 0), fc.constantFrom(2, 4, 8)).map(
    ([at, byte, count]): Mutation =>
      (messages) => {
        const bytes = joined(messages);
        const from = at % bytes.length;
        return [bytes.fill(byte, from, Math.min(bytes.length, from + count))];
      },
  ),
  fc.tuple(index, fc.uint8Array({ minLength: 1, maxLength: 64 })).map(
    ([at, extra]): Mutation =>
      (messages) => {
        const bytes = joined(messages);
        const from = at % bytes.length;
        return [bytes.subarray(0, from), extra, bytes.subarray(from)];
      },
  ),
  fc.tuple(index, index).map(
    ([from, to]): Mutation =>
      (messages) => {
        const result = [...messages];
        const [taken] = result.splice(from % result.length, 1);
        result.splice(to % (result.length + 1), 0, taken!);
        return result;
      },
  ),
  index.map(
    (at): Mutation =>
      (messages) =>
        messages.toSpliced(at % messages.length, 1),
  ),
  index.map(
    (at): Mutation =>
      (messages) => {
        const again = messages[at % messages.length]!;
        return messages.toSpliced(at % messages.length, 0, again);
      },
  ),
);

/** Sends in pieces, ends, and returns all that came back. */
async function say(bytes: Uint8Array, pieceBytes: number, endsAtOnce: boolean): Promise<Buffer> {
  const client = new RawClient(served.socketPath);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    client.socket.write(bytes.subarray(at, at + pieceBytes));
    if (at % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  // A polite word where it may be understood, so that what waits is answered.
  if (!endsAtOnce) client.send(request(nbd.CMD_DISC, 0, 0));
  client.socket.end();
  const limit = AbortSignal.timeout(DEADLINE_MS);
  const late = new Promise((_, reject) => {
    limit.addEventListener('abort', () => reject(new Error('The server hangs.')));
  });
  await Promise.race([client.closed, late]);
  return await client.read(Number.MAX_SAFE_INTEGER);
}

/** I1: what a server says is a greeting, option replies, then replies; the last may be cut off. */
function checkAnswer(answer: Buffer): void {
  let at = 0;
  const has = (count: number): boolean => answer.length - at >= count;
  expect(has(18)).toBe(true);
  expect(nbd.parseGreeting(answer.subarray(0, 18))).toBe(3);
  at = 18;
  let isStructured = false;
  while (has(20) && answer.readBigUInt64BE(at) === nbd.NBD_OPTION_REPLY_MAGIC) {
    const { option: about, type, lengthBytes } = nbd.parseOptionReply(answer.subarray(at));
    if (about === nbd.OPT_STRUCTURED_REPLY && type === nbd.REP_ACK) isStructured = true;
    at += 20 + lengthBytes;
  }
  // Lengths of simple replies are known to those who asked only; so is where NBD_OPT_EXPORT_NAME answers.
  while (isStructured && has(20)) {
    const magic = answer.readUInt32BE(at);
    if (magic === nbd.NBD_SIMPLE_REPLY_MAGIC) {
      at += 16;
      continue;
    }
    if (answer.readBigUInt64BE(at) === BigInt(size)) {
      // 134 bytes with the zeroes, 10 without.
      at += answer.readUInt32BE(at + 10) === 0 ? 134 : 10;
      continue;
    }
    expect(magic).toBe(nbd.NBD_CHUNK_MAGIC);
    const [type, lengthBytes] = [answer.readUInt16BE(at + 6), answer.readUInt32BE(at + 16)];
    if (type === nbd.CHUNK_OFFSET_DATA || type === nbd.CHUNK_OFFSET_HOLE) {
      if (!has(32)) return;
      const offset = Number(answer.readBigUInt64BE(at + 20));
      const count = type === nbd.CHUNK_OFFSET_DATA ? lengthBytes - 8 : answer.readUInt32BE(at + 28);
      expect(offset + count).toBeLessThanOrEqual(size);
      if (type === nbd.CHUNK_OFFSET_DATA && has(20 + lengthBytes)) {
        const data = answer.subarray(at + 28, at + 28 + count);
        expect(data.equals(disk.bytes.subarray(offset, offset + count))).toBe(true);
      }
    }
    at += 20 + lengthBytes;
  }
}

describe('I1: an NBD server answers or closes, whatever it is told', () => {
  const check = async (bytes: Uint8Array, pieceBytes: number, isRude: boolean): Promise<void> => {
    checkAnswer(await say(bytes, pieceBytes, isRude));
    expect(disk.outside).toBe(0);
    const next = await connectNbd({ socketPath: served.socketPath, exportName: 'disk' });
    const target = Buffer.alloc(512);
    // One in seven fails on purpose.
    const again = (): Promise<void> => next.read(target, SEGMENT_BYTES);
    await again().catch(again);
    expect(target.equals(disk.bytes.subarray(SEGMENT_BYTES, SEGMENT_BYTES + 512))).toBe(true);
    await next.close();
  };
  const pieces = fc.oneof(fc.nat({ max: 60 }), fc.constant(1_000_000)).map((n) => n + 1);

  test('valid sessions, changed', async () => {
    const mutations = fc.array(mutation, { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        session,
        mutations,
        pieces,
        fc.boolean(),
        async (valid, all, piece, rude) => {
          let messages: Uint8Array[] = valid;
          for (const mutate of all) messages = mutate(messages.length > 0 ? messages : [go]);
          await check(joined(messages), Math.max(piece, joined(messages).length / 50), rude);
        },
      ),
      { numRuns: RUNS },
    );
  }, 120_000);

  test('valid sessions as they are', async () => {
    await fc.assert(
      fc.asyncProperty(session, pieces, async (valid, piece) => {
        await check(joined(valid), Math.max(piece, joined(valid).length / 50), false);
      }),
      { numRuns: RUNS / 4 },
    );
  }, 120_000);

  test('bytes without sense', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), pieces, async (bytes, piece) => {
        await check(bytes, piece, true);
      }),
      { numRuns: RUNS / 4 },
    );
  }, 120_000);

  test('nothing is left of all these clients', async () => {
    await expect.poll(() => served.server.connections).toBe(0);
    expect(disk.waiting).toBe(0);
  });
});
