/**
 * Room: io, nbd. The server's side of the handshake as a generator: it yields buffers to be filled from the
 * socket and calls `send`; it never waits by itself, so that tests can feed it any bytes.
 *
 * I1: whatever a client sends is answered by what the specification says, or ends the handshake: the option
 *     that is wrong, unknown, too long or one too many.
 * I2: where TLS is demanded nothing but STARTTLS and ABORT is granted in the clear, and nothing that was
 *     agreed in the clear holds afterwards (CVE-2021-3716).
 * I3: block status is agreed for the export that is opened, by its name, and for no other.
 */

import {
  NBD_DRAIN_BYTES_MAX,
  NBD_MAX_REQUEST_BYTES,
  NBD_OPTION_BYTES_MAX,
  NBD_OPTIONS_MAX,
} from '../../domain/limits.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import * as nbd from '../../formats/nbd.ts';
import * as served from '../../formats/nbd-served.ts';
import type { ExportedDisk } from '../ports/exported-disk.ts';
import type { Fill } from './nbd-handshake.ts';

/** The disks that a server has, by name. */
export interface NbdExports {
  find(name: string): ExportedDisk | undefined;
  /** Those that a client is told of. */
  names(): readonly string[];
}

/** What was agreed with a client. */
export interface ServedAgreement {
  readonly name: string;
  readonly disk: ExportedDisk;
  readonly isStructured: boolean;
  readonly hasBlockStatus: boolean;
}

/** How a handshake ends: with an export, with TLS from here on, or with nothing. */
export type Negotiated =
  | ({ readonly kind: 'served' } & ServedAgreement)
  | { readonly kind: 'tls'; readonly noZeroes: boolean }
  | { readonly kind: 'end' };

const END: Negotiated = { kind: 'end' };

export interface NegotiationOptions {
  readonly exports: NbdExports;
  /** `offered`: the client must ask for it; `on`: it is in use; `none`: there is none. */
  readonly tls: 'none' | 'offered' | 'on';
  send(bytes: Uint8Array): void;
}

/** The id of base:allocation; there is no other context. */
export const ALLOCATION_ID = 1;

const TRANSMISSION_FLAGS =
  nbd.FLAG_HAS_FLAGS |
  nbd.FLAG_READ_ONLY |
  nbd.FLAG_SEND_FLUSH |
  nbd.FLAG_SEND_DF |
  nbd.FLAG_CAN_MULTI_CONN |
  nbd.FLAG_SEND_CACHE;

const SCRATCH_BYTES = 16 * 2 ** 10;

/** From the greeting on. */
export function* negotiate(options: NegotiationOptions): Fill<Negotiated> {
  options.send(served.encodeGreeting());
  const bytes = new Uint8Array(4);
  yield bytes;
  const flags = served.parseClientFlags(bytes);
  if (flags === null) return END;
  return yield* new Negotiation(options, flags.noZeroes).options();
}

/** From the first option inside TLS on: there is no second greeting. */
export function* negotiateInside(options: NegotiationOptions, noZeroes: boolean): Fill<Negotiated> {
  return yield* new Negotiation(options, noZeroes).options();
}

class Negotiation {
  readonly #options: NegotiationOptions;
  readonly #noZeroes: boolean;
  #isStructured = false;
  /** The export for which block status was agreed. */
  #contextOf: string | undefined;

  constructor(options: NegotiationOptions, noZeroes: boolean) {
    this.#options = options;
    this.#noZeroes = noZeroes;
  }

  *options(): Fill<Negotiated> {
    const header = new Uint8Array(served.NBD_OPTION_HEADER_BYTES);
    for (let count = 0; count < NBD_OPTIONS_MAX; count += 1) {
      yield header;
      const found = served.parseOptionHeader(header);
      if (found === null) return END;
      const { option, lengthBytes } = found;
      if (lengthBytes > NBD_OPTION_BYTES_MAX) {
        const isEnd = option === nbd.OPT_EXPORT_NAME || lengthBytes > NBD_DRAIN_BYTES_MAX;
        if (!isEnd) yield* drain(lengthBytes);
        this.#reply(option, nbd.REP_ERR_TOO_BIG);
        if (isEnd) return END;
        continue;
      }
      const data = new Uint8Array(lengthBytes);
      yield data;
      const outcome = this.#answer(option, data);
      if (outcome !== null) return outcome;
    }
    return END;
  }

  /** Null: the next option may come. */
  #answer(option: number, data: Uint8Array): Negotiated | null {
    const { tls } = this.#options;
    if (option === nbd.OPT_ABORT) {
      this.#reply(option, nbd.REP_ACK);
      return END;
    }
    if (option === nbd.OPT_STARTTLS) return this.#startTls(data);
    if (tls === 'offered') {
      if (option === nbd.OPT_EXPORT_NAME) return END;
      return this.#reply(option, nbd.REP_ERR_TLS_REQD);
    }
    switch (option) {
      case nbd.OPT_EXPORT_NAME:
        return this.#exportName(data);
      case nbd.OPT_INFO:
      case nbd.OPT_GO:
        return this.#go(option, data);
      case nbd.OPT_LIST:
        return this.#list(data);
      case nbd.OPT_STRUCTURED_REPLY:
        if (data.length > 0) return this.#reply(option, nbd.REP_ERR_INVALID);
        this.#isStructured = true;
        return this.#reply(option, nbd.REP_ACK);
      case nbd.OPT_LIST_META_CONTEXT:
      case nbd.OPT_SET_META_CONTEXT:
        return this.#contexts(option, data);
      default:
        return this.#reply(option, nbd.REP_ERR_UNSUP);
    }
  }

  #startTls(data: Uint8Array): Negotiated | null {
    const { tls } = this.#options;
    if (tls === 'none') return this.#reply(nbd.OPT_STARTTLS, nbd.REP_ERR_UNSUP);
    if (tls === 'on' || data.length > 0) {
      return this.#reply(nbd.OPT_STARTTLS, nbd.REP_ERR_INVALID);
    }
    this.#reply(nbd.OPT_STARTTLS, nbd.REP_ACK);
    return { kind: 'tls', noZeroes: this.#noZeroes };
  }

  #exportName(data: Uint8Array): Negotiated {
    const name = served.parseString(data);
    const disk = name === null ? undefined : this.#options.exports.find(name);
    if (name === null || disk === undefined) return END;
    const { send } = this.#options;
    send(served.encodeExportName(disk.sizeBytes, TRANSMISSION_FLAGS, this.#noZeroes));
    return this.#agreement(name, disk);
  }

  #go(option: number, data: Uint8Array): Negotiated | null {
    const choice = served.parseExportChoice(data);
    if (choice === null) return this.#reply(option, nbd.REP_ERR_INVALID);
    const disk = this.#options.exports.find(choice.name);
    if (disk === undefined) return this.#reply(option, nbd.REP_ERR_UNKNOWN);
    const info = (bytes: Uint8Array): null => this.#reply(option, nbd.REP_INFO, bytes);
    info(served.encodeInfoExport(disk.sizeBytes, TRANSMISSION_FLAGS));
    info(served.encodeInfoBlockSize(1, SEGMENT_BYTES, NBD_MAX_REQUEST_BYTES));
    if (choice.infos.has(nbd.INFO_NAME)) info(served.encodeInfoName(choice.name));
    this.#reply(option, nbd.REP_ACK);
    return option === nbd.OPT_GO ? this.#agreement(choice.name, disk) : null;
  }

  #list(data: Uint8Array): null {
    if (data.length > 0) return this.#reply(nbd.OPT_LIST, nbd.REP_ERR_INVALID);
    for (const name of this.#options.exports.names()) {
      this.#reply(nbd.OPT_LIST, nbd.REP_SERVER, served.encodeServer(name));
    }
    return this.#reply(nbd.OPT_LIST, nbd.REP_ACK);
  }

  #contexts(option: number, data: Uint8Array): null {
    const isSet = option === nbd.OPT_SET_META_CONTEXT;
    if (isSet) this.#contextOf = undefined;
    const asked = this.#isStructured ? served.parseContextQueries(data) : null;
    if (asked === null) return this.#reply(option, nbd.REP_ERR_INVALID);
    const { name, queries } = asked;
    if (this.#options.exports.find(name) === undefined) {
      return this.#reply(option, nbd.REP_ERR_UNKNOWN);
    }
    // "base:" asks for all that there are in the namespace; only a list has an answer to that.
    const isListed = !isSet && (queries.length === 0 || queries.includes('base:'));
    if (isListed || queries.includes(nbd.CONTEXT_ALLOCATION)) {
      const context = served.encodeContext(ALLOCATION_ID, nbd.CONTEXT_ALLOCATION);
      this.#reply(option, nbd.REP_META_CONTEXT, context);
      if (isSet) this.#contextOf = name;
    }
    return this.#reply(option, nbd.REP_ACK);
  }

  #agreement(name: string, disk: ExportedDisk): Negotiated {
    const hasBlockStatus = this.#contextOf === name;
    return { kind: 'served', name, disk, isStructured: this.#isStructured, hasBlockStatus };
  }

  #reply(option: number, type: number, data?: Uint8Array): null {
    this.#options.send(served.encodeOptionReply(option, type, data));
    return null;
  }
}

function* drain(lengthBytes: number): Fill<void> {
  const scratch = new Uint8Array(SCRATCH_BYTES);
  for (let left = lengthBytes; left > 0; left -= SCRATCH_BYTES) {
    yield scratch.subarray(0, Math.min(left, SCRATCH_BYTES));
  }
}
