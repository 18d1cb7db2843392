/**
 * Room: io, nbd. One client of the NBD server, from the greeting to the end: feeds the handshake, and after
 * it the session, with what its socket brings.
 *
 * I1: whatever happens on the socket ends this connection at worst; nothing is thrown.
 * I2: what came in the clear is not taken for what comes in TLS (CVE-2021-3716): a client that says more
 *     before it got the answer to STARTTLS is cut off.
 */

import type { Socket } from 'node:net';
import { NBD_HANDSHAKE_MS_MAX } from '../../domain/limits.ts';
import type { Fill } from './nbd-handshake.ts';
import {
  type NbdExports,
  type Negotiated,
  type NegotiationOptions,
  negotiate,
  negotiateInside,
  type ServedAgreement,
} from './nbd-negotiation.ts';
import { NbdSession } from './nbd-session.ts';
import { type NbdTls, startTls } from './nbd-tls.ts';
import type { ReplyMemory } from './reply-memory.ts';

export interface ConnectionMeans {
  readonly exports: NbdExports;
  readonly tls: NbdTls | undefined;
  readonly memory: ReplyMemory;
  readonly onReadError: (exportName: string, error: unknown) => void;
  readonly handshakeMs?: number | undefined;
}

const NOTHING = new Uint8Array(0);
const ignore = (): void => {};

export class ServedConnection {
  /** The socket is closed and no read is in flight. Never rejects. */
  readonly ended: Promise<void>;
  readonly #means: ConnectionMeans;
  readonly #handshakeMs: number;
  readonly #timer: NodeJS.Timeout;
  #socket: Socket;
  #handshake: Fill<Negotiated> | undefined;
  #want: Uint8Array = NOTHING;
  #filled = 0;
  #session: NbdSession | undefined;

  constructor(socket: Socket, means: ConnectionMeans) {
    this.#means = means;
    this.#socket = socket;
    this.#handshakeMs = means.handshakeMs ?? NBD_HANDSHAKE_MS_MAX;
    this.#timer = setTimeout(() => this.#socket.destroy(), this.#handshakeMs);
    const isClosed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    this.ended = isClosed.then(async () => {
      clearTimeout(this.#timer);
      await this.#session?.abort();
    });
    this.#listen(socket);
    this.#begin(negotiate(this.#negotiation(means.tls === undefined ? 'none' : 'offered')));
  }

  /** Cuts the client off. */
  async close(): Promise<void> {
    this.#socket.destroy();
    await this.ended;
  }

  #negotiation(tls: NegotiationOptions['tls']): NegotiationOptions {
    const { exports } = this.#means;
    return { exports, tls, send: (bytes) => void this.#socket.write(bytes) };
  }

  #listen(socket: Socket): void {
    socket.on('error', ignore);
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes));
    socket.on('end', () => {
      if (this.#session === undefined) this.#socket.destroy();
      else this.#session.end();
    });
  }

  #begin(handshake: Fill<Negotiated>): void {
    this.#handshake = handshake;
    this.#onBytes(NOTHING);
  }

  #onBytes(bytes: Uint8Array): void {
    if (this.#session === undefined) this.#onWords(bytes);
    else this.#session.feed(bytes);
  }

  /** The handshake gets what it wants, byte by byte. */
  #onWords(bytes: Uint8Array): void {
    let at = 0;
    while (this.#handshake !== undefined) {
      if (this.#filled === this.#want.length) {
        const next = this.#handshake.next();
        this.#filled = 0;
        this.#want = next.done ? NOTHING : next.value;
        if (next.done) this.#agreed(next.value, bytes.subarray(at));
      } else {
        if (at === bytes.length) break;
        const end = Math.min(bytes.length, at + this.#want.length - this.#filled);
        this.#want.set(bytes.subarray(at, end), this.#filled);
        this.#filled += end - at;
        at = end;
      }
    }
  }

  #agreed(outcome: Negotiated, rest: Uint8Array): void {
    this.#handshake = undefined;
    if (outcome.kind === 'served') this.#serve(outcome, rest);
    else if (outcome.kind === 'end') this.#socket.destroySoon();
    else if (rest.length > 0) this.#socket.destroy();
    else void this.#startTls(outcome.noZeroes);
  }

  async #startTls(noZeroes: boolean): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    plain.removeAllListeners('end');
    try {
      const socket = await startTls(plain, this.#means.tls!, this.#handshakeMs);
      this.#socket = socket;
      this.#listen(socket);
      socket.once('close', () => plain.destroy());
      this.#begin(negotiateInside(this.#negotiation('on'), noZeroes));
    } catch {
      plain.destroy();
    }
  }

  #serve(agreement: ServedAgreement, rest: Uint8Array): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#session = new NbdSession({
      agreement,
      memory: this.#means.memory,
      write: (bytes, taken) => void socket.write(bytes, taken),
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      end: () => {
        socket.destroySoon();
        // Who does not read what it asked for is not waited for.
        setTimeout(() => socket.destroy(), this.#handshakeMs).unref();
      },
      onReadError: (error) => this.#means.onReadError(agreement.name, error),
    });
    if (rest.length > 0) this.#session.feed(rest);
  }
}
