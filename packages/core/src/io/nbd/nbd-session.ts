/**
 * Room: io, nbd. One client's requests for one disk, after the handshake. It is fed with what the socket
 * brings and writes replies; small ones that are ready at once are gathered and written as one.
 *
 * I1: every request that can be told apart gets exactly one reply, or the connection ends; nothing is read
 *     outside of the disk.
 * I2: a client has at most NBD_SERVED_IN_FLIGHT reads waiting and about NBD_SERVED_BYTES_MAX of replies in
 *     memory; beyond that its socket is not read.
 * I3: a frame goes back to the memory when its read has settled and the socket has taken its bytes.
 * I4: nothing is written to a disk: what would change it is EPERM, and its payload is read away.
 */

import {
  NBD_DRAIN_BYTES_MAX,
  NBD_MAX_REQUEST_BYTES,
  NBD_SERVED_BYTES_MAX,
  NBD_SERVED_EXTENTS,
  NBD_SERVED_IN_FLIGHT,
} from '../../domain/limits.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import * as nbd from '../../formats/nbd.ts';
import * as served from '../../formats/nbd-served.ts';
import { ALLOCATION_ID, type ServedAgreement } from './nbd-negotiation.ts';
import { DATA_HEADER_BYTES, ReadReply } from './read-reply.ts';
import { type Frame, GATHER_BYTES, type ReplyMemory } from './reply-memory.ts';

export interface SessionOptions {
  readonly agreement: ServedAgreement;
  readonly memory: ReplyMemory;
  /** Calls back when the bytes may be used again, whatever became of them. */
  write(bytes: Uint8Array, taken: () => void): void;
  pause(): void;
  resume(): void;
  /** Nothing more will be written. */
  end(): void;
  onReadError(error: unknown): void;
}

const NOTHING = new Uint8Array(0);
const NO_VIEW: DataView = new DataView(new ArrayBuffer(0));
/** Reads up to here are gathered. */
const GATHERED_BYTES_MAX = SEGMENT_BYTES;

export class NbdSession {
  readonly #options: SessionOptions;
  readonly #cancel = new AbortController();
  readonly #request: served.Request = {
    flags: 0,
    command: 0,
    cookieHigh: 0,
    cookieLow: 0,
    offsetBytes: 0,
    lengthBytes: 0,
  };
  /** The beginning of a request whose rest has not come. */
  readonly #header = new Uint8Array(nbd.NBD_REQUEST_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerBytes = 0;
  #input: Uint8Array = NOTHING;
  #inputView = NO_VIEW;
  #at = 0;
  /** Payload that is to be thrown away. */
  #drainBytes = 0;
  #gathered: Frame | undefined;
  #gatheredBytes = 0;
  #readsWaiting = 0;
  #replyBytes = 0;
  #isPaused = false;
  #isEnding = false;
  #isOver = false;
  #onIdle: () => void = () => {};

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** What the client sent. Not to be called while paused. */
  feed(bytes: Uint8Array): void {
    if (this.#isEnding) return;
    this.#input = bytes;
    this.#inputView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#advance();
  }

  /** The client is gone, or as good as gone: what is written already still goes out, nothing else. */
  end(): void {
    if (this.#isOver) return;
    void this.abort();
    this.#options.end();
  }

  /** The connection is gone: reads that wait are cancelled. Resolves when none is left. */
  async abort(): Promise<void> {
    this.#isEnding = true;
    this.#isOver = true;
    this.#input = NOTHING;
    this.#cancel.abort();
    this.#giveGathered();
    if (this.#readsWaiting > 0)
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
  }

  get #isFull(): boolean {
    return (
      this.#readsWaiting >= NBD_SERVED_IN_FLIGHT ||
      this.#replyBytes + this.#gatheredBytes >= NBD_SERVED_BYTES_MAX
    );
  }

  #advance(): void {
    while (!this.#isEnding && this.#at < this.#input.length) {
      if (this.#drainBytes > 0) {
        const count = Math.min(this.#drainBytes, this.#input.length - this.#at);
        this.#drainBytes -= count;
        this.#at += count;
      } else if (this.#isFull) {
        break;
      } else if (this.#readRequest()) {
        this.#answer();
      }
    }
    this.#flush();
    const isPaused = !this.#isEnding && this.#at < this.#input.length;
    if (!isPaused) this.#input = NOTHING;
    if (isPaused !== this.#isPaused) {
      this.#isPaused = isPaused;
      if (isPaused) this.#options.pause();
      else this.#options.resume();
    }
    this.#endIfDone();
  }

  /** Reads the next request, or as much of it as there is. */
  #readRequest(): boolean {
    const there = this.#input.length - this.#at;
    let isRequest: boolean;
    if (this.#headerBytes === 0 && there >= nbd.NBD_REQUEST_BYTES) {
      isRequest = served.readRequest(this.#inputView, this.#at, this.#request);
      this.#at += nbd.NBD_REQUEST_BYTES;
    } else {
      const count = Math.min(there, nbd.NBD_REQUEST_BYTES - this.#headerBytes);
      this.#header.set(this.#input.subarray(this.#at, this.#at + count), this.#headerBytes);
      this.#headerBytes += count;
      this.#at += count;
      if (this.#headerBytes < nbd.NBD_REQUEST_BYTES) return false;
      this.#headerBytes = 0;
      isRequest = served.readRequest(this.#headerView, 0, this.#request);
    }
    // Without the magic nobody knows where the next request begins.
    if (!isRequest) this.#isEnding = true;
    return isRequest;
  }

  #answer(): void {
    const { command, flags, lengthBytes, offsetBytes } = this.#request;
    switch (command) {
      case nbd.CMD_READ:
        this.#read();
        break;
      case nbd.CMD_DISC:
        this.#isEnding = true;
        break;
      case nbd.CMD_WRITE:
        this.#drainBytes = lengthBytes;
        this.#isEnding = lengthBytes > NBD_DRAIN_BYTES_MAX;
        this.#fail(nbd.ERROR_EPERM, READ_ONLY);
        break;
      case nbd.CMD_TRIM:
      case nbd.CMD_WRITE_ZEROES:
        this.#fail(nbd.ERROR_EPERM, READ_ONLY);
        break;
      case nbd.CMD_FLUSH:
        this.#acknowledge((flags | lengthBytes) === 0 && offsetBytes === 0);
        break;
      case nbd.CMD_CACHE:
        if (flags === 0 && this.#isInside()) {
          this.#options.agreement.disk.prefetch?.(offsetBytes, lengthBytes);
          this.#acknowledge(true);
        } else this.#acknowledge(false);
        break;
      case nbd.CMD_BLOCK_STATUS:
        this.#blockStatus();
        break;
      default:
        this.#acknowledge(false);
    }
  }

  /** I1: whether the request is about bytes of the disk. */
  #isInside(): boolean {
    const { offsetBytes, lengthBytes } = this.#request;
    const { sizeBytes } = this.#options.agreement.disk;
    return lengthBytes > 0 && offsetBytes <= sizeBytes && lengthBytes <= sizeBytes - offsetBytes;
  }

  #read(): void {
    const { flags, lengthBytes } = this.#request;
    const { isStructured } = this.#options.agreement;
    const known = isStructured ? nbd.CMD_FLAG_DF : 0;
    if ((flags & ~known) !== 0 || !this.#isInside() || lengthBytes > NBD_MAX_REQUEST_BYTES) {
      this.#fail(nbd.ERROR_EINVAL, INVALID);
    } else if (isStructured && flags === 0 && this.#hasZeros()) {
      this.#readLater(true);
    } else if (lengthBytes > GATHERED_BYTES_MAX || !this.#readNow()) {
      this.#readLater(false);
    }
  }

  /** Whether the disk knows of zeros in what is asked for. */
  #hasZeros(): boolean {
    const { offsetBytes, lengthBytes } = this.#request;
    const end = offsetBytes + lengthBytes;
    const { isZero, endBytes } = this.#options.agreement.disk.extent(offsetBytes, end);
    return isZero || endBytes < end;
  }

  /** Gathers the reply of a read that needs no waiting; false when it does. */
  #readNow(): boolean {
    const { lengthBytes, offsetBytes } = this.#request;
    const { disk, isStructured } = this.#options.agreement;
    const { bytes, view } = this.#reserve(DATA_HEADER_BYTES + lengthBytes);
    const at = this.#gatheredBytes;
    const data = isStructured
      ? served.writeDataChunk(view, at, this.#request, true)
      : served.writeSimpleReply(view, at, 0, this.#request);
    try {
      if (!disk.readNow(bytes, data, lengthBytes, offsetBytes)) return false;
      this.#gatheredBytes = data + lengthBytes;
    } catch (error) {
      this.#options.onReadError(error);
      this.#fail(nbd.ERROR_EIO, UNREADABLE);
    }
    return true;
  }

  /** A read in memory of its own: it is long, has holes, or may take a while. */
  #readLater(hasHoles: boolean): void {
    const { agreement, memory } = this.#options;
    const { flags } = this.#request;
    const reply = new ReadReply({ ...this.#request }, agreement, memory, hasHoles && flags === 0);
    const { frame, lengthBytes } = reply;
    this.#replyBytes += lengthBytes;
    this.#readsWaiting += 1;
    reply.fill(this.#cancel.signal).then(
      () => {
        this.#readsWaiting -= 1;
        this.#replyBytes -= lengthBytes;
        if (this.#isOver) memory.give(frame);
        else this.#write(frame, lengthBytes);
        this.#goOn();
      },
      (error: unknown) => {
        this.#readsWaiting -= 1;
        this.#replyBytes -= lengthBytes;
        memory.give(frame);
        if (!this.#isOver) {
          this.#options.onReadError(error);
          this.#failRequest(reply.request, nbd.ERROR_EIO, UNREADABLE);
        }
        this.#goOn();
      },
    );
  }

  #blockStatus(): void {
    const { agreement } = this.#options;
    const { flags, offsetBytes, lengthBytes } = this.#request;
    const isValid = agreement.hasBlockStatus && (flags & ~nbd.CMD_FLAG_REQ_ONE) === 0;
    if (!isValid || !this.#isInside()) {
      this.#fail(nbd.ERROR_EINVAL, INVALID);
      return;
    }
    const end = offsetBytes + lengthBytes;
    const isOne = (flags & nbd.CMD_FLAG_REQ_ONE) !== 0;
    const most = isOne ? 1 : NBD_SERVED_EXTENTS;
    const extents: number[] = [];
    for (let at = offsetBytes; at < end && extents.length < 2 * most; ) {
      const { endBytes, isZero } = agreement.disk.extent(at, end);
      extents.push(endBytes - at, isZero ? nbd.EXTENT_HOLE | nbd.EXTENT_ZERO : 0);
      at = endBytes;
    }
    const { view } = this.#reserve(served.NBD_HOLE_CHUNK_BYTES + extents.length * 4);
    const at = this.#gatheredBytes;
    this.#gatheredBytes = served.writeBlockStatus(view, at, ALLOCATION_ID, extents, this.#request);
  }

  /** The reply to what brings no data. */
  #acknowledge(isValid: boolean): void {
    if (isValid) {
      const { view } = this.#reserve(nbd.NBD_SIMPLE_REPLY_BYTES);
      const at = this.#gatheredBytes;
      this.#gatheredBytes = served.writeSimpleReply(view, at, 0, this.#request);
    } else this.#fail(nbd.ERROR_EINVAL, INVALID);
  }

  #fail(number: number, words: Uint8Array): void {
    this.#failRequest(this.#request, number, words);
  }

  #failRequest(request: served.Cookie, number: number, words: Uint8Array): void {
    const { isStructured } = this.#options.agreement;
    const { view } = this.#reserve(served.NBD_HOLE_CHUNK_BYTES + words.length);
    const at = this.#gatheredBytes;
    const error = { number, words };
    this.#gatheredBytes = served.writeError(view, at, error, request, isStructured);
  }

  /** Room for so many bytes behind what is gathered. */
  #reserve(lengthBytes: number): Frame {
    if (this.#gatheredBytes + lengthBytes > GATHER_BYTES) this.#flush();
    this.#gathered ??= this.#options.memory.take(GATHER_BYTES);
    return this.#gathered;
  }

  #flush(): void {
    const frame = this.#gathered;
    if (frame === undefined || this.#gatheredBytes === 0) return;
    const lengthBytes = this.#gatheredBytes;
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
    this.#write(frame, lengthBytes);
  }

  #write(frame: Frame, lengthBytes: number): void {
    this.#replyBytes += lengthBytes;
    this.#options.write(frame.bytes.subarray(0, lengthBytes), () => {
      this.#replyBytes -= lengthBytes;
      this.#options.memory.give(frame);
      // Others get a turn between a client's full loads.
      if (this.#isPaused) setImmediate(() => this.#goOn());
    });
  }

  #goOn(): void {
    if (!this.#isOver) this.#advance();
    else if (this.#readsWaiting === 0) this.#onIdle();
  }

  #endIfDone(): void {
    if (!this.#isEnding || this.#isOver || this.#readsWaiting > 0) return;
    this.#isOver = true;
    this.#flush();
    this.#giveGathered();
    this.#options.end();
  }

  #giveGathered(): void {
    if (this.#gathered !== undefined) this.#options.memory.give(this.#gathered);
    this.#gathered = undefined;
  }
}

const words = (text: string): Uint8Array => new TextEncoder().encode(text);
const READ_ONLY = words('This disk is read-only.');
const INVALID = words('No such request, or it lies outside of the disk.');
const UNREADABLE = words('The disk cannot be read here.');
