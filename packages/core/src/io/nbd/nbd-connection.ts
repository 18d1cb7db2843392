/**
 * Room: io, nbd. One connection of the NBD client: data goes straight from the socket into the caller's
 * memory.
 *
 * I1: a read resolves when every byte of its target was filled from the right offset, exactly once, in
 *     order; anything else a server sends is `corrupt` and ends the connection.
 * I2: a server that dies, or is silent for `timeoutMs` while it owes an answer, is `unavailable`; so is one
 *     that reports an error, which fails that request only. One that spoke while this process stood still
 *     was not silent.
 * I3: when the connection ends, every request in flight or waiting is rejected, once.
 * I4: at most NBD_MAX_IN_FLIGHT requests are in flight; more wait in order.
 */

import { connect, type Socket } from 'node:net';
import { type ErrorCode, VmdnError } from '../../domain/errors.ts';
import { NBD_MAX_EXTENTS, NBD_MAX_IN_FLIGHT } from '../../domain/limits.ts';
import * as nbd from '../../formats/nbd.ts';
import type { NbdClient, NbdConnectOptions } from './nbd-client.ts';
import { type Fill, handshake, type NbdAgreement } from './nbd-handshake.ts';

const DEFAULT_TIMEOUT_MS = 60_000;

/** A request in flight. Slots are made once and used again. */
interface Slot {
  readonly index: number;
  readonly request: Uint8Array;
  readonly requestView: DataView;
  generation: number;
  isBusy: boolean;
  command: number;
  target: Uint8Array;
  offsetBytes: number;
  filledBytes: number;
  extents: Uint32Array | undefined;
  error: VmdnError | undefined;
  resolve: (extents: Uint32Array) => void;
  reject: (error: unknown) => void;
}

const NOTHING = new Uint8Array(0);
const NO_EXTENTS = new Uint32Array(0);
const SPILL = new Uint8Array(1);

/** See NbdClient. `ready` settles when the handshake has. */
export class NbdConnection implements NbdClient {
  readonly ready: Promise<void>;
  readonly #socket: Socket;
  readonly #slots: Slot[] = [];
  readonly #waiting: PromiseWithResolvers<Slot>[] = [];
  readonly #session: Fill<never>;
  #agreement: NbdAgreement | undefined;
  #busy = 1; // The handshake owes an answer too.
  #want: Uint8Array = NOTHING;
  #filled = 0;
  /** How often the server was heard. */
  #heard = 0;
  #ended: VmdnError | undefined;
  #onReady: (error?: unknown) => void = () => {};

  constructor(options: NbdConnectOptions) {
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#session = this.#run(options.exportName ?? '', options.context ?? nbd.CONTEXT_ALLOCATION);
    this.#advance();
    this.#socket = connect({
      path: options.socketPath,
      onread: {
        // Asked after every read: the next bytes go straight to where they belong.
        buffer: () => (this.#ended === undefined ? this.#want.subarray(this.#filled) : SPILL),
        callback: (byteCount) => this.#onBytes(byteCount),
      },
    });
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#socket.setTimeout(timeoutMs, () => this.#endIfSilent(timeoutMs));
    this.#socket.on('error', (error) => {
      this.#end(closed('unavailable', 'The NBD server cannot be reached.', error));
    });
    this.#socket.on('close', () => {
      this.#end(closed('unavailable', 'The NBD server closed the connection.'));
    });
    const { signal } = options;
    const onAbort = (): void => this.#end(closed('cancelled', 'The reading was cancelled.'));
    signal?.addEventListener('abort', onAbort);
    this.#socket.on('close', () => signal?.removeEventListener('abort', onAbort));
  }

  get sizeBytes(): number {
    return this.#agreement?.sizeBytes ?? 0;
  }

  get canMultiConn(): boolean {
    return ((this.#agreement?.flags ?? 0) & nbd.FLAG_CAN_MULTI_CONN) !== 0;
  }

  get hasBlockStatus(): boolean {
    return this.#agreement?.statusContext !== undefined;
  }

  get maxReadBytes(): number {
    return this.#agreement?.maxReadBytes ?? 0;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    this.#checkRange(offsetBytes, target.length, this.maxReadBytes);
    const flags = this.#agreement!.isStructured ? this.#agreement!.flags & nbd.FLAG_SEND_DF : 0;
    const slot = this.#freeSlot() ?? (await this.#waitForSlot());
    await this.#request(slot, nbd.CMD_READ, flags !== 0 ? nbd.CMD_FLAG_DF : 0, offsetBytes, target);
  }

  async blockStatus(offsetBytes: number, lengthBytes: number): Promise<Uint32Array> {
    const length = Math.min(lengthBytes, 0xffff_0000);
    this.#checkRange(offsetBytes, length, length);
    if (!this.hasBlockStatus) return Uint32Array.of(length, 0);
    const slot = this.#freeSlot() ?? (await this.#waitForSlot());
    const target = NOTHING;
    return clampExtents(
      await this.#request(slot, nbd.CMD_BLOCK_STATUS, 0, offsetBytes, target, length),
      length,
    );
  }

  async close(): Promise<void> {
    if (this.#socket.closed) return;
    const isClosed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    if (this.#ended === undefined) {
      const bytes = new Uint8Array(nbd.NBD_REQUEST_BYTES);
      const request = { command: nbd.CMD_DISC, flags: 0, generation: 0, slot: 0xffff_ffff };
      const view = new DataView(bytes.buffer);
      nbd.writeRequest(view, { ...request, offsetBytes: 0, lengthBytes: 0 });
      this.#socket.write(bytes);
      this.#end(closed('cancelled', 'The connection was closed.'));
    }
    await isClosed;
  }

  #checkRange(offsetBytes: number, lengthBytes: number, maxBytes: number): void {
    if (this.#ended !== undefined) throw this.#ended;
    const isWhole = Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 && lengthBytes > 0;
    if (isWhole && lengthBytes <= maxBytes && offsetBytes + lengthBytes <= this.sizeBytes) return;
    throw new VmdnError('invalid_input', 'A read lies outside the disk or is too long.', {
      data: { offsetBytes, lengthBytes, sizeBytes: this.sizeBytes, maxBytes },
    });
  }

  #freeSlot(): Slot | undefined {
    if (this.#waiting.length > 0) return undefined;
    for (const slot of this.#slots) if (!slot.isBusy) return slot;
    return this.#slots.length < NBD_MAX_IN_FLIGHT ? this.#addSlot() : undefined;
  }

  #addSlot(): Slot {
    const request = new Uint8Array(nbd.NBD_REQUEST_BYTES);
    const slot: Slot = {
      index: this.#slots.length,
      request,
      requestView: new DataView(request.buffer),
      generation: 0,
      isBusy: false,
      command: 0,
      target: NOTHING,
      offsetBytes: 0,
      filledBytes: 0,
      extents: undefined,
      error: undefined,
      resolve: () => {},
      reject: () => {},
    };
    this.#slots.push(slot);
    return slot;
  }

  #waitForSlot(): Promise<Slot> {
    const waiter = Promise.withResolvers<Slot>();
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  #request(
    slot: Slot,
    command: number,
    flags: number,
    offsetBytes: number,
    target: Uint8Array,
    lengthBytes = target.length,
  ): Promise<Uint32Array> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    slot.isBusy = true;
    slot.generation = (slot.generation + 1) >>> 0;
    slot.command = command;
    slot.target = target;
    slot.offsetBytes = offsetBytes;
    slot.filledBytes = 0;
    slot.extents = undefined;
    slot.error = undefined;
    this.#busy += 1;
    const { generation, index } = slot;
    const request = { command, flags, generation, slot: index, offsetBytes, lengthBytes };
    nbd.writeRequest(slot.requestView, request);
    return new Promise((resolve, reject) => {
      slot.resolve = resolve;
      slot.reject = reject;
      this.#socket.write(slot.request);
    });
  }

  /** The event loop runs timers first: what has come meanwhile is read before a server is called silent. */
  #endIfSilent(timeoutMs: number): void {
    if (this.#busy === 0) return;
    const heard = this.#heard;
    setImmediate(() => {
      if (this.#heard !== heard) return;
      this.#end(closed('unavailable', `The NBD server was silent for ${timeoutMs / 1000} s.`));
    });
  }

  #onBytes(byteCount: number): boolean {
    if (this.#ended !== undefined) return false;
    this.#heard += 1;
    this.#filled += byteCount;
    if (this.#filled === this.#want.length) this.#advance();
    return true;
  }

  /** Lets the session go on until it wants bytes. */
  #advance(): void {
    try {
      do {
        this.#want = this.#session.next().value;
        this.#filled = 0;
      } while (this.#want.length === 0);
    } catch (error) {
      const isOurs = error instanceof VmdnError;
      this.#end(isOurs ? error : closed('internal', 'Reading from an NBD server failed.', error));
    }
  }

  /** Everything that the server says, in order. Throws when it lies. */
  *#run(exportName: string, context: string): Fill<never> {
    this.#agreement = yield* handshake(exportName, context, (bytes) => this.#socket.write(bytes));
    this.#busy -= 1;
    this.#onReady();
    const header = new Uint8Array(nbd.NBD_SIMPLE_REPLY_BYTES);
    const view = new DataView(header.buffer);
    for (;;) {
      yield header;
      const magic = view.getUint32(0);
      const slot = this.#slotOf(view.getUint32(8), view.getUint32(12));
      if (magic === nbd.NBD_SIMPLE_REPLY_MAGIC) {
        yield* this.#simpleReply(slot, view.getUint32(4));
      } else if (magic === nbd.NBD_CHUNK_MAGIC && this.#agreement.isStructured) {
        yield* this.#chunk(slot, view.getUint16(4), view.getUint16(6));
      } else {
        throw nbd.lying('reply magic');
      }
    }
  }

  #slotOf(generation: number, index: number): Slot {
    const slot = this.#slots[index];
    if (slot?.isBusy && slot.generation === generation && slot.command !== RESERVED) return slot;
    throw nbd.lying('the reply to no request');
  }

  *#simpleReply(slot: Slot, errorNumber: number): Fill<void> {
    if (errorNumber !== 0) {
      slot.error = serverError(errorNumber, '');
    } else if (this.#agreement!.isStructured || slot.command !== nbd.CMD_READ) {
      throw nbd.lying('a simple reply where a structured one is due');
    } else {
      slot.filledBytes = slot.target.length;
      yield slot.target;
    }
    this.#finish(slot);
  }

  *#chunk(slot: Slot, flags: number, type: number): Fill<void> {
    const lengthBytes = new Uint8Array(nbd.NBD_CHUNK_LENGTH_BYTES);
    yield lengthBytes;
    const length = new DataView(lengthBytes.buffer).getUint32(0);
    if (type === nbd.CHUNK_OFFSET_DATA) {
      yield* this.#dataChunk(slot, length);
    } else {
      if (length > 4 + NBD_MAX_EXTENTS * 8) throw nbd.lying('an oversized chunk');
      const payload = new Uint8Array(length);
      yield payload;
      this.#controlChunk(slot, type, payload);
    }
    if ((flags & nbd.CHUNK_FLAG_DONE) !== 0) this.#finish(slot);
  }

  *#dataChunk(slot: Slot, length: number): Fill<void> {
    if (slot.command !== nbd.CMD_READ) throw nbd.lying('data that was not asked for');
    if (length <= 8 || length - 8 > slot.target.length - slot.filledBytes) {
      throw nbd.lying('length of a data chunk');
    }
    const offset = new Uint8Array(8);
    yield offset;
    this.#checkOffset(slot, offset);
    const start = slot.filledBytes;
    slot.filledBytes += length - 8;
    yield slot.target.subarray(start, slot.filledBytes);
  }

  #controlChunk(slot: Slot, type: number, payload: Uint8Array): void {
    if ((type & nbd.CHUNK_ERROR_BIT) !== 0) {
      const { number, message } = nbd.parseErrorChunk(payload);
      slot.error ??= serverError(number, message);
    } else if (type === nbd.CHUNK_NONE) {
      if (payload.length !== 0) throw nbd.lying('an empty chunk with data');
    } else if (type === nbd.CHUNK_OFFSET_HOLE && slot.command === nbd.CMD_READ) {
      if (payload.length !== 12) throw nbd.lying('length of a hole');
      this.#checkOffset(slot, payload);
      const size = new DataView(payload.buffer).getUint32(8);
      const end = slot.filledBytes + size;
      if (size === 0 || end > slot.target.length) throw nbd.lying('size of a hole');
      slot.target.fill(0, slot.filledBytes, end);
      slot.filledBytes = end;
    } else if (type === nbd.CHUNK_BLOCK_STATUS && slot.command === nbd.CMD_BLOCK_STATUS) {
      if (slot.extents !== undefined) throw nbd.lying('two block statuses');
      slot.extents = nbd.parseExtents(payload, this.#agreement!.statusContext!);
    } else {
      throw nbd.lying('an unexpected chunk');
    }
  }

  /** I1: chunks come in order, each where the one before ended (QEMU and nbdkit send them so). */
  #checkOffset(slot: Slot, payload: Uint8Array): void {
    const offset = new DataView(payload.buffer, payload.byteOffset).getBigUint64(0);
    if (offset !== BigInt(slot.offsetBytes + slot.filledBytes)) {
      throw nbd.lying('data from another place');
    }
  }

  /** The last of a reply has come: hands out the result and wakes the next in line. */
  #finish(slot: Slot): void {
    const { error, extents, resolve, reject } = slot;
    if (error === undefined && slot.command === nbd.CMD_READ) {
      if (slot.filledBytes !== slot.target.length) throw nbd.lying('a read that is not complete');
    } else if (error === undefined && extents === undefined) {
      throw nbd.lying('a block status without extents');
    }
    this.#busy -= 1;
    slot.target = NOTHING;
    slot.command = RESERVED;
    const next = this.#waiting.shift();
    slot.isBusy = next !== undefined;
    next?.resolve(slot);
    if (error === undefined) resolve(extents ?? NO_EXTENTS);
    else reject(error);
  }

  #end(error: VmdnError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#socket.destroySoon();
    this.#onReady(error);
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
    for (const slot of this.#slots) {
      if (slot.isBusy && slot.command !== RESERVED) slot.reject(error);
      slot.isBusy = false;
      slot.target = NOTHING;
    }
  }
}

/** The command of a slot that waits for the one it was promised to. */
const RESERVED = -1;

function clampExtents(extents: Uint32Array, lengthBytes: number): Uint32Array {
  let total = 0;
  for (let i = 0; i < extents.length; i += 2) {
    const rest = lengthBytes - total;
    if (rest <= 0) throw nbd.lying('extents past the end of what was asked');
    // The specification lets the last extent go beyond the request; nothing may follow it.
    extents[i] = Math.min(extents[i]!, rest);
    total += extents[i]!;
  }
  return extents;
}

function serverError(number: number, message: string): VmdnError {
  const name = nbd.nbdErrorName(number);
  const words = message === '' ? name : `${name}: ${message}`;
  return new VmdnError('unavailable', `The disk cannot be read (${words}).`, {
    data: { nbdError: name },
  });
}

function closed(code: ErrorCode, message: string, cause?: unknown): VmdnError {
  return new VmdnError(code, message, cause === undefined ? {} : { cause });
}
