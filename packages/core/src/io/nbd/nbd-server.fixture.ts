/**
 * Room: io, nbd (tests only). A disk in memory that notices every step outside of it, a server of it, and a
 * client that says whatever bytes it is told to.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import * as nbd from '../../formats/nbd.ts';
import type { DiskExtent, ExportedDisk } from '../ports/exported-disk.ts';
import { type NbdServer, type NbdServerOptions, serveNbd } from './nbd-server.ts';

export class MemoryDisk implements ExportedDisk {
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
  /** Says what `readNow` does: read, decline, or fail. */
  now: () => boolean = () => true;
  /** What `read` waits for. */
  later: (signal: AbortSignal) => Promise<void> = async () => {};
  outside = 0;
  reads = 0;
  waiting = 0;
  prefetched: number[][] = [];

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.sizeBytes = bytes.length;
  }

  readNow(target: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): boolean {
    this.#check(target, at, lengthBytes, offsetBytes);
    if (!this.now()) return false;
    this.reads += 1;
    target.set(this.bytes.subarray(offsetBytes, offsetBytes + lengthBytes), at);
    return true;
  }

  async read(
    target: Uint8Array,
    at: number,
    lengthBytes: number,
    offsetBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    this.#check(target, at, lengthBytes, offsetBytes);
    this.reads += 1;
    this.waiting += 1;
    await this.later(signal).finally(() => {
      this.waiting -= 1;
    });
    target.set(this.bytes.subarray(offsetBytes, offsetBytes + lengthBytes), at);
  }

  extent(offsetBytes: number, endBytes: number): DiskExtent {
    this.#inside(offsetBytes, endBytes - offsetBytes);
    const isZero = this.#isZero(offsetBytes);
    let at = offsetBytes;
    do at = (Math.floor(at / SEGMENT_BYTES) + 1) * SEGMENT_BYTES;
    while (at < endBytes && this.#isZero(at) === isZero);
    return { endBytes: Math.min(at, endBytes), isZero };
  }

  prefetch(offsetBytes: number, lengthBytes: number): void {
    this.#inside(offsetBytes, lengthBytes);
    this.prefetched.push([offsetBytes, lengthBytes]);
  }

  #isZero(offsetBytes: number): boolean {
    const start = Math.floor(offsetBytes / SEGMENT_BYTES) * SEGMENT_BYTES;
    return this.bytes.subarray(start, start + SEGMENT_BYTES).every((byte) => byte === 0);
  }

  #check(target: Uint8Array, at: number, lengthBytes: number, offsetBytes: number): void {
    this.#inside(offsetBytes, lengthBytes);
    if (at < 0 || at + lengthBytes > target.length) this.outside += 1;
  }

  #inside(offsetBytes: number, lengthBytes: number): void {
    const isWhole = Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 && lengthBytes > 0;
    if (!isWhole || offsetBytes + lengthBytes > this.sizeBytes) this.outside += 1;
  }
}

export interface TestServer extends AsyncDisposable {
  readonly server: NbdServer;
  readonly socketPath: string;
  readonly directory: string;
  readonly errors: unknown[];
}

/** Serves a disk under the names '' and 'disk'. */
export async function startServer(
  disk: ExportedDisk,
  options: Partial<NbdServerOptions> = {},
): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'vmdn-nbd-'));
  const socketPath = join(directory, 'served', 'nbd.sock');
  const errors: unknown[] = [];
  const server = await serveNbd({
    place: { socketPath },
    exports: {
      find: (name) => (name === '' || name === 'disk' ? disk : undefined),
      names: () => ['', 'disk'],
    },
    onReadError: (_, error) => errors.push(error),
    ...options,
  });
  return {
    server,
    socketPath,
    directory,
    errors,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await rm(directory, { recursive: true });
    },
  };
}

export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #bytes = Buffer.alloc(0);
  #isClosed = false;
  #wake: () => void = () => {};

  constructor(place: string | { readonly host: string; readonly port: number }) {
    const where = typeof place === 'string' ? { path: place } : place;
    this.socket = connect({ ...where, allowHalfOpen: true });
    this.socket.on('error', () => {});
    this.socket.on('data', (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      });
    });
    // The server has said all it had to say.
    this.socket.once('end', () => this.socket.end());
  }

  send(...messages: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** The next bytes; fewer only when the server has closed the connection. */
  async read(lengthBytes: number): Promise<Buffer> {
    while (this.#bytes.length < lengthBytes && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const bytes = this.#bytes.subarray(0, lengthBytes);
    this.#bytes = this.#bytes.subarray(lengthBytes);
    return bytes;
  }

  /** One option reply. */
  async optionReply(): Promise<{ option: number; type: number; data: Buffer }> {
    const { option, type, lengthBytes } = nbd.parseOptionReply(await this.read(20));
    return { option, type, data: await this.read(lengthBytes) };
  }

  /** Type of the replies to one option, to the last. */
  async answerTo(option: number, data?: Uint8Array): Promise<number[]> {
    this.send(nbd.encodeOption(option, data));
    const types: number[] = [];
    do types.push((await this.optionReply()).type);
    while (
      types.at(-1) === nbd.REP_SERVER ||
      types.at(-1)! === nbd.REP_INFO ||
      types.at(-1) === nbd.REP_META_CONTEXT
    );
    return types;
  }

  async greet(flags = 3): Promise<void> {
    await this.read(18);
    this.send(nbd.encodeClientFlags(flags));
  }

  /** The header of a simple reply, or of a chunk and its payload. */
  async reply(): Promise<{
    error: number;
    type: number;
    flags: number;
    slot: number;
    payload: Buffer;
  }> {
    const header = await this.read(16);
    const slot = header.readUInt32BE(12);
    if (header.readUInt32BE(0) === nbd.NBD_SIMPLE_REPLY_MAGIC) {
      return { error: header.readUInt32BE(4), type: -1, flags: 1, slot, payload: Buffer.alloc(0) };
    }
    const [flags, type] = [header.readUInt16BE(4), header.readUInt16BE(6)];
    const payload = await this.read((await this.read(4)).readUInt32BE(0));
    const error = (type & nbd.CHUNK_ERROR_BIT) !== 0 ? payload.readUInt32BE(0) : 0;
    return { error, type, flags, slot, payload };
  }
}

/** A request's bytes. */
export function request(
  command: number,
  offsetBytes: number | bigint,
  lengthBytes: number,
  { flags = 0, slot = 1 } = {},
): Buffer {
  const bytes = Buffer.alloc(nbd.NBD_REQUEST_BYTES);
  bytes.writeUInt32BE(nbd.NBD_REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeUInt32BE(slot, 12);
  bytes.writeBigUInt64BE(BigInt(offsetBytes), 16);
  bytes.writeUInt32BE(lengthBytes, 24);
  return bytes;
}

/** Connected, with structured replies and block status agreed, ready for requests. */
export async function structuredClient(socketPath: string): Promise<RawClient> {
  const client = new RawClient(socketPath);
  await client.greet();
  await client.answerTo(nbd.OPT_STRUCTURED_REPLY);
  const contexts = nbd.encodeMetaContext('disk', nbd.CONTEXT_ALLOCATION);
  await client.answerTo(nbd.OPT_SET_META_CONTEXT, contexts);
  await client.answerTo(nbd.OPT_GO, nbd.encodeGo('disk', []));
  return client;
}

/** A disk of seven segments and a bit, of which the third, fourth and last are zero. */
export function holedBytes(): Uint8Array {
  const bytes = new Uint8Array(7 * SEGMENT_BYTES + 512);
  for (let at = 0; at < bytes.length; at += 4) {
    const segment = Math.floor(at / SEGMENT_BYTES);
    if (segment !== 2 && segment !== 3 && segment !== 7) bytes.set([1, segment, at >> 8, at], at);
  }
  return bytes;
}
