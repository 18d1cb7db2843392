import { stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import * as nbd from '../../formats/nbd.ts';
import { connectNbd } from './nbd-client.ts';
import {
  holedBytes,
  MemoryDisk,
  RawClient,
  request,
  startServer,
  structuredClient,
} from './nbd-server.fixture.ts';

const bytes = holedBytes();
const newDisk = (): MemoryDisk => new MemoryDisk(bytes);
const MIB = 2 ** 20;

describe('the NBD server and our own client', () => {
  test('I1: reads of every size and place, at once, bring the disk', async () => {
    const disk = newDisk();
    await using served = await startServer(disk);
    const client = await connectNbd({ socketPath: served.socketPath, exportName: 'disk' });
    expect(client).toMatchObject({
      sizeBytes: bytes.length,
      canMultiConn: true,
      hasBlockStatus: true,
      maxReadBytes: 32 * MIB,
    });
    // Some wait, some do not.
    let turn = 0;
    disk.now = () => (turn++ & 1) === 0;
    const places = Array.from({ length: 300 }, (_, i) => {
      const offset = (i * 7919 * 13) % bytes.length;
      return { offset, target: Buffer.alloc(Math.min(1 + i * 601, bytes.length - offset)) };
    });
    await Promise.all(places.map(({ offset, target }) => client.read(target, offset)));
    for (const { offset, target } of places) {
      expect(target.equals(bytes.subarray(offset, offset + target.length))).toBe(true);
    }
    await client.close();
    expect(disk.outside).toBe(0);
  });

  test('block status tells where zeros are known', async () => {
    await using served = await startServer(newDisk());
    const client = await connectNbd({ socketPath: served.socketPath });
    const extents = await client.blockStatus(0, bytes.length);
    const S = SEGMENT_BYTES;
    expect([...extents]).toEqual([2 * S, 0, 2 * S, 3, 3 * S, 0, 512, 3]);
    expect([...(await client.blockStatus(3 * S - 7, 9))]).toEqual([9, 3]);
    await client.close();
  });

  test('a read that fails is EIO and told of, and the next one works', async () => {
    const disk = newDisk();
    await using served = await startServer(disk);
    const client = await connectNbd({ socketPath: served.socketPath });
    for (const isNow of [true, false]) {
      disk.now = () => {
        if (isNow) throw new Error('bad drive');
        return false;
      };
      disk.later = () => Promise.reject(new Error('bad drive'));
      await expect(client.read(Buffer.alloc(512), 0)).rejects.toMatchObject({
        data: { nbdError: 'EIO' },
      });
    }
    expect(served.errors).toHaveLength(2);
    disk.now = () => true;
    const target = Buffer.alloc(512);
    await client.read(target, 512);
    expect(target.equals(bytes.subarray(512, 1024))).toBe(true);
    await client.close();
  });
});

describe('requests', () => {
  test('I1: a read outside of the disk, of nothing, or with unknown flags is EINVAL', async () => {
    const disk = newDisk();
    await using served = await startServer(disk);
    const client = await structuredClient(served.socketPath);
    const size = bytes.length;
    const wrong: [number | bigint, number, number?][] = [
      [size, 1],
      [size - 1, 2],
      [0, 0],
      [0, size + 1],
      [0, 0xffff_ffff],
      [2n ** 64n - 1n, 1],
      [2n ** 64n - 512n, 1024],
      [2n ** 53n + 1n, 512],
      [0, 512, 1],
      [0, 512, nbd.CMD_FLAG_REQ_ONE],
    ];
    for (const [offset, length, flags = 0] of wrong) {
      client.send(request(nbd.CMD_READ, offset, length, { flags, slot: 7 }));
      expect(await client.reply()).toMatchObject({ error: nbd.ERROR_EINVAL, slot: 7, flags: 1 });
      client.send(request(nbd.CMD_BLOCK_STATUS, offset, length, { flags: flags & 1, slot: 8 }));
      const status = await client.reply();
      if (flags !== nbd.CMD_FLAG_REQ_ONE) expect(status.error).toBe(nbd.ERROR_EINVAL);
    }
    expect(disk).toMatchObject({ outside: 0, reads: 0 });
  });

  test('a read has holes where zeros are known, and none with DF', async () => {
    await using served = await startServer(newDisk());
    const client = await structuredClient(served.socketPath);
    const offset = SEGMENT_BYTES + 512;
    client.send(request(nbd.CMD_READ, offset, 3 * SEGMENT_BYTES));
    const parts = [await client.reply(), await client.reply(), await client.reply()];
    expect(parts.map(({ type, flags }) => [type, flags])).toEqual([
      [nbd.CHUNK_OFFSET_DATA, 0],
      [nbd.CHUNK_OFFSET_HOLE, 0],
      [nbd.CHUNK_OFFSET_DATA, 1],
    ]);
    expect(parts[1]!.payload.readBigUInt64BE()).toBe(BigInt(2 * SEGMENT_BYTES));
    expect(parts[1]!.payload.readUInt32BE(8)).toBe(2 * SEGMENT_BYTES);
    client.send(request(nbd.CMD_READ, offset, 3 * SEGMENT_BYTES, { flags: nbd.CMD_FLAG_DF }));
    const whole = await client.reply();
    expect(whole).toMatchObject({ type: nbd.CHUNK_OFFSET_DATA, flags: 1 });
    const data = whole.payload.subarray(8);
    expect(data.equals(bytes.subarray(offset, offset + 3 * SEGMENT_BYTES))).toBe(true);
  });

  test('I4: what would change the disk is EPERM, and its payload is no request', async () => {
    await using served = await startServer(newDisk());
    const client = await structuredClient(served.socketPath);
    const payload = Buffer.concat(Array.from({ length: 100 }, () => request(nbd.CMD_READ, 0, 1)));
    client.send(request(nbd.CMD_WRITE, 0, payload.length, { slot: 1 }), payload);
    client.send(request(nbd.CMD_TRIM, 0, 512, { slot: 2 }));
    client.send(request(nbd.CMD_WRITE_ZEROES, 0, 512, { slot: 3 }));
    client.send(request(nbd.CMD_FLUSH, 0, 0, { slot: 4 }));
    for (const slot of [1, 2, 3]) {
      expect(await client.reply()).toMatchObject({ error: nbd.ERROR_EPERM, slot });
    }
    expect(await client.reply()).toMatchObject({ error: 0, slot: 4 });
    client.send(request(nbd.CMD_WRITE, 0, 0xffff_ffff, { slot: 5 }));
    expect(await client.reply()).toMatchObject({ error: nbd.ERROR_EPERM, slot: 5 });
    await client.closed;
  });

  test('CACHE tells the disk; flush with a place, and unknown commands, are EINVAL', async () => {
    const disk = newDisk();
    await using served = await startServer(disk);
    const client = await structuredClient(served.socketPath);
    client.send(request(nbd.CMD_CACHE, 512, 4096), request(nbd.CMD_CACHE, bytes.length, 1));
    client.send(request(nbd.CMD_FLUSH, 1, 0), request(0xffff, 0, 0));
    const errors = [];
    for (let i = 0; i < 4; i += 1) errors.push((await client.reply()).error);
    expect(errors).toEqual([0, 22, 22, 22]);
    expect(disk.prefetched).toEqual([[512, 4096]]);
  });

  test('REQ_ONE gets one extent; without the context there is no block status', async () => {
    await using served = await startServer(newDisk());
    const client = await structuredClient(served.socketPath);
    const flags = nbd.CMD_FLAG_REQ_ONE;
    client.send(request(nbd.CMD_BLOCK_STATUS, 0, bytes.length, { flags }));
    expect((await client.reply()).payload).toHaveLength(12);
    const other = new RawClient(served.socketPath);
    await other.greet();
    await other.answerTo(nbd.OPT_STRUCTURED_REPLY);
    await other.answerTo(nbd.OPT_SET_META_CONTEXT, nbd.encodeMetaContext('', 'base:allocation'));
    // Agreed for the name '', not for 'disk'.
    await other.answerTo(nbd.OPT_GO, nbd.encodeGo('disk', []));
    other.send(request(nbd.CMD_BLOCK_STATUS, 0, 512));
    expect((await other.reply()).error).toBe(nbd.ERROR_EINVAL);
  });

  test('simple replies, for who does not know better: data follows the header at once', async () => {
    await using served = await startServer(newDisk());
    const client = new RawClient(served.socketPath);
    await client.greet(1);
    client.send(nbd.encodeOption(nbd.OPT_EXPORT_NAME, Buffer.from('disk')));
    const answer = await client.read(134);
    expect(answer.readBigUInt64BE()).toBe(BigInt(bytes.length));
    client.send(request(nbd.CMD_READ, 2 * SEGMENT_BYTES - 100, 200), request(nbd.CMD_READ, 0, 0));
    expect((await client.reply()).error).toBe(0);
    const data = await client.read(200);
    expect(data.equals(bytes.subarray(2 * SEGMENT_BYTES - 100, 2 * SEGMENT_BYTES + 100))).toBe(
      true,
    );
    expect((await client.reply()).error).toBe(22);
    client.send(request(nbd.CMD_DISC, 0, 0));
    await client.closed;
  });
});

describe('the handshake', () => {
  test('options that are wrong are told so, and the next one is heard', async () => {
    await using served = await startServer(newDisk());
    const client = new RawClient(served.socketPath);
    await client.greet();
    expect(await client.answerTo(77)).toEqual([nbd.REP_ERR_UNSUP]);
    expect(await client.answerTo(nbd.OPT_STARTTLS)).toEqual([nbd.REP_ERR_UNSUP]);
    expect(await client.answerTo(nbd.OPT_LIST, Buffer.from('x'))).toEqual([nbd.REP_ERR_INVALID]);
    expect(await client.answerTo(nbd.OPT_GO, nbd.encodeGo('other', []))).toEqual([
      nbd.REP_ERR_UNKNOWN,
    ]);
    expect(await client.answerTo(nbd.OPT_GO, Buffer.from('??'))).toEqual([nbd.REP_ERR_INVALID]);
    const contexts = nbd.encodeMetaContext('disk', 'base:');
    expect(await client.answerTo(nbd.OPT_SET_META_CONTEXT, contexts)).toEqual([
      nbd.REP_ERR_INVALID,
    ]);
    expect(await client.answerTo(nbd.OPT_INFO, new Uint8Array(MIB))).toEqual([nbd.REP_ERR_TOO_BIG]);
    expect(await client.answerTo(nbd.OPT_LIST)).toEqual([2, 2, 1]);
    await client.answerTo(nbd.OPT_STRUCTURED_REPLY);
    expect(await client.answerTo(nbd.OPT_LIST_META_CONTEXT, contexts)).toEqual([4, 1]);
    expect(await client.answerTo(nbd.OPT_SET_META_CONTEXT, contexts)).toEqual([1]);
    const go = nbd.encodeGo('disk', [nbd.INFO_NAME]);
    expect(await client.answerTo(nbd.OPT_INFO, go)).toEqual([3, 3, 3, 1]);
    expect(await client.answerTo(nbd.OPT_ABORT)).toEqual([1]);
    await client.closed;
  });

  test('flags nobody offered, no magic, and options without end are the end', async () => {
    await using served = await startServer(newDisk());
    const strange = new RawClient(served.socketPath);
    await strange.greet(4);
    await strange.closed;
    const mumbling = new RawClient(served.socketPath);
    await mumbling.greet();
    mumbling.send(new Uint8Array(16));
    await mumbling.closed;
    const talkative = new RawClient(served.socketPath);
    await talkative.greet();
    for (let i = 0; i < 64; i += 1) await talkative.answerTo(nbd.OPT_LIST);
    await talkative.closed;
    const boastful = new RawClient(served.socketPath);
    await boastful.greet();
    const header = nbd.encodeOption(nbd.OPT_LIST);
    header.fill(0xff, 12);
    boastful.send(header);
    expect((await boastful.optionReply()).type).toBe(nbd.REP_ERR_TOO_BIG);
    await boastful.closed;
  });

  test('I3: who is silent is cut off, and so is one client too many', async () => {
    await using impatient = await startServer(newDisk(), { handshakeMs: 100 });
    const silent = new RawClient(impatient.socketPath);
    await silent.greet();
    await silent.closed;
    await using served = await startServer(newDisk());
    const clients = Array.from({ length: 32 }, () => structuredClient(served.socketPath));
    await Promise.all(clients);
    const extra = new RawClient(served.socketPath);
    await extra.closed;
    expect(served.server.connections).toBe(32);
  });
});

describe('limits', () => {
  test('I2: 64 reads wait, the rest is not taken from the socket; all are answered', async () => {
    const disk = newDisk();
    const gate = Promise.withResolvers<void>();
    disk.now = () => false;
    disk.later = () => gate.promise;
    await using served = await startServer(disk);
    const client = await structuredClient(served.socketPath);
    for (let slot = 0; slot < 3000; slot += 1) {
      client.send(request(nbd.CMD_READ, slot, 1, { slot }));
    }
    await expect.poll(() => disk.waiting).toBe(64);
    gate.resolve();
    const slots = new Set<number>();
    for (let i = 0; i < 3000; i += 1) {
      const { slot, payload } = await client.reply();
      expect(payload[8]).toBe(bytes[slot]);
      slots.add(slot);
    }
    expect(slots.size).toBe(3000);
    expect(disk.reads).toBe(3000);
  });

  test('I2: who does not read its answers fills 8 MiB and not more', async () => {
    const disk = new MemoryDisk(new Uint8Array(64 * MIB).fill(1));
    await using served = await startServer(disk);
    const client = await structuredClient(served.socketPath);
    client.socket.pause();
    for (let slot = 0; slot < 400; slot += 1) {
      client.send(request(nbd.CMD_READ, 0, 256 * 1024, { slot }));
    }
    const kernelBytes = 2 * MIB;
    await expect.poll(() => disk.reads).toBeGreaterThan(31);
    // Until it stands still.
    let before = -1;
    const isStill = (): boolean => {
      const was = before;
      before = disk.reads;
      return was === before;
    };
    await expect.poll(isStill, { interval: 100 }).toBe(true);
    expect(disk.reads * 256 * 1024).toBeLessThan(8 * MIB + kernelBytes);
    client.socket.resume();
    for (let slot = 0; slot < 400; slot += 1) {
      expect(await client.reply()).toMatchObject({ error: 0, flags: 1 });
    }
  });

  test('a client that goes away cancels its reads', async () => {
    const disk = newDisk();
    disk.now = () => false;
    disk.later = (signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    await using served = await startServer(disk);
    const client = await structuredClient(served.socketPath);
    client.send(request(nbd.CMD_READ, 0, 512));
    await expect.poll(() => disk.waiting).toBe(1);
    client.socket.destroy();
    await expect.poll(() => disk.waiting).toBe(0);
    await expect.poll(() => served.server.connections).toBe(0);
    expect(served.errors).toEqual([]);
  });

  test('what is ready goes out before the end, what waits is waited for after NBD_CMD_DISC', async () => {
    const disk = newDisk();
    const gate = Promise.withResolvers<void>();
    disk.later = () => gate.promise;
    await using served = await startServer(disk);
    const client = await structuredClient(served.socketPath);
    client.send(request(nbd.CMD_READ, 0, 512, { slot: 1 }));
    expect(await client.reply()).toMatchObject({ slot: 1 });
    disk.now = () => false;
    const disconnect = request(nbd.CMD_DISC, 0, 0);
    client.send(request(nbd.CMD_READ, 0, 512, { slot: 2 }), disconnect);
    await expect.poll(() => disk.waiting).toBe(1);
    gate.resolve();
    expect(await client.reply()).toMatchObject({ slot: 2 });
    await client.closed;
  });
});

describe('the socket', () => {
  test('I1: it and its directory are for one user; the one of before is replaced', async () => {
    const disk = newDisk();
    await using first = await startServer(disk);
    expect((await stat(join(first.directory, 'served'))).mode & 0o777).toBe(0o700);
    expect((await stat(first.socketPath)).mode & 0o777).toBe(0o600);
    const place = { socketPath: join(first.directory, 'left', 'nbd.sock') };
    await using second = await startServer(disk, { place });
    const left = createServer();
    const leftPath = join(first.directory, 'left', 'killed.sock');
    await new Promise<void>((resolve) => left.listen(leftPath, resolve));
    await using third = await startServer(disk, { place: { socketPath: leftPath } });
    const client = await connectNbd({ socketPath: leftPath });
    await client.close();
    expect([second.server.port, third.server.port]).toEqual([0, 0]);
    left.close();
  });

  test('I1: the directory is handed to its user, and taken back by who restarts', async () => {
    await using around = await startServer(newDisk());
    const [uid, gid] = [process.getuid!(), process.getgid!()];
    // Only root can hand anything to others.
    const user = uid === 0 ? { uid: 65_534, gid: 65_534 } : { uid, gid };
    const socketPath = join(around.directory, 'guest', 'nbd.sock');
    for (let start = 0; start < 2; start += 1) {
      await using served = await startServer(newDisk(), { place: { socketPath, user } });
      expect(served.server.connections).toBe(0);
      for (const path of [socketPath, join(around.directory, 'guest')]) {
        expect(await stat(path)).toMatchObject(user);
      }
      expect((await stat(join(around.directory, 'guest'))).mode & 0o777).toBe(0o700);
      const client = await connectNbd({ socketPath });
      await client.close();
    }
  });

  test('a file that is no socket is left alone, and a long path is told', async () => {
    await using served = await startServer(newDisk());
    const socketPath = join(served.directory, 'served', 'precious');
    await writeFile(socketPath, 'x');
    const again = startServer(newDisk(), { place: { socketPath } });
    await expect(again).rejects.toMatchObject({ code: 'conflict' });
    const long = startServer(newDisk(), { place: { socketPath: `/tmp/${'x'.repeat(110)}` } });
    await expect(long).rejects.toMatchObject({ code: 'invalid_input' });
  });
});
