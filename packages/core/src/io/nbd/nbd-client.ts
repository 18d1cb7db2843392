/**
 * Room: io, nbd. A client of an NBD server on a unix socket, for reading: the port, and how to get one.
 * Invariants are those of nbd-connection.ts.
 */

import { VmdnError } from '../../domain/errors.ts';
import { NbdConnection } from './nbd-connection.ts';

export interface NbdConnectOptions {
  readonly socketPath: string;
  /** Default: the empty name, which is qemu-nbd's only export. */
  readonly exportName?: string;
  /** What block status tells of: allocation unless said. */
  readonly context?: string;
  readonly signal?: AbortSignal | undefined;
  /** Silence after which the server counts as dead, while it owes an answer. Default 60 s. */
  readonly timeoutMs?: number;
}

export interface NbdClient {
  readonly sizeBytes: number;
  /** Whether several connections see one another's effects; for readers: whether to open more. */
  readonly canMultiConn: boolean;
  readonly hasBlockStatus: boolean;
  /** Largest read in one request, in bytes. */
  readonly maxReadBytes: number;
  /** Fills `target` from `offsetBytes`. Throws `invalid_input`, `unavailable`, `corrupt`, `cancelled`. */
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * Extents from `offsetBytes` on as [length, flags] pairs (of allocation: EXTENT_HOLE, EXTENT_ZERO; of
   * depth: the layer); they may end before `lengthBytes`, never after. One extent without flags where the
   * server has no block status.
   */
  blockStatus(offsetBytes: number, lengthBytes: number): Promise<Uint32Array>;
  /** Ends the connection politely; requests in flight are rejected. Idempotent. */
  close(): Promise<void>;
}

/** Connects and negotiates. Throws `unavailable`, `corrupt`, `not_found`, `too_large`, `cancelled`. */
export async function connectNbd(options: NbdConnectOptions): Promise<NbdClient> {
  if (options.signal?.aborted) throw new VmdnError('cancelled', 'The connection was cancelled.');
  const connection = new NbdConnection(options);
  await connection.ready;
  return connection;
}
