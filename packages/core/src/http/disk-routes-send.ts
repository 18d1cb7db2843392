/**
 * Room: http. Sends a data-plane body straight to the socket: counted, limited, with back-pressure.
 *
 * I1: a piece leaves only after the grant paid for it and the uplink let it through, in this order;
 *     so what the limiter counts never leaves uncounted or unpaid.
 * I2: no piece is asked of the body before the socket has taken the last one: a slow receiver holds
 *     the source back. Only a piece of a few bytes is kept, and leaves with the next.
 * I3: a receiver that goes away, or takes nothing for `stallMs`, ends the request at once; a body
 *     that fails after the header cuts the connection, so that half an answer never looks whole.
 */

import type { ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { describeError, isVmdnError, VmdnError } from '../domain/errors.ts';
import type { UplinkLimiter } from '../io/ports/uplink-limiter.ts';
import type { Logger } from '../process/logger.ts';
import type { AdmittedRequest } from './disk-routes-grants.ts';
import type { AppContext } from './mount.ts';

export interface OutgoingBody {
  readonly status: 200 | 206;
  readonly headers: Readonly<Record<string, string>>;
  readonly pieces: AsyncIterable<Uint8Array>;
}

export interface Sender {
  /** Aborts when the receiver has gone away. */
  readonly signal: AbortSignal;
  /** Sends the body; resolves when it is all written, or when it was cut. Never rejects. */
  send(body: OutgoingBody, request: AdmittedRequest): Promise<Response>;
  /** Stops watching the connection. */
  [Symbol.dispose](): void;
}

export interface SenderOptions {
  readonly uplink: UplinkLimiter;
  readonly stallMs: number;
  readonly logger: Logger;
}

/** Watches the connection of one request, from before the body exists. */
export function createSender(context: AppContext, options: SenderOptions): Sender {
  const outgoing = context.env.outgoing as ServerResponse;
  const gone = new AbortController();
  const onClose = (): void => gone.abort(new VmdnError('cancelled', 'The receiver went away.'));
  if (outgoing.destroyed) onClose();
  outgoing.once('close', onClose);
  return {
    signal: gone.signal,
    async send(body, request) {
      const requestId = context.get('requestId');
      try {
        outgoing.writeHead(body.status, { ...body.headers, 'x-request-id': requestId });
        await writeAll(outgoing, body.pieces, request, options, gone.signal);
        outgoing.end();
      } catch (error) {
        // The status has left: all that can still be said is that this is not the whole answer.
        outgoing.destroy();
        if (!isVmdnError(error, 'cancelled')) {
          options.logger.warn({ requestId, err: error }, `a body was cut: ${describeError(error)}`);
        }
      }
      return RESPONSE_ALREADY_SENT;
    },
    [Symbol.dispose]: () => outgoing.off('close', onClose),
  };
}

/** So small a piece leaves with what follows: it is worth no turn at the uplink and no packet of its own. */
const SMALL_BYTES = 16;

async function writeAll(
  outgoing: ServerResponse,
  pieces: AsyncIterable<Uint8Array>,
  request: AdmittedRequest,
  options: SenderOptions,
  signal: AbortSignal,
): Promise<void> {
  const turn = options.uplink.openStream();
  const step = options.uplink.pieceBytesMax;
  let held: Uint8Array[] = [];
  const leave = async (): Promise<void> => {
    const parts = held;
    held = [];
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    signal.throwIfAborted();
    request.spend(bytes);
    await turn.take(bytes, signal);
    await written(outgoing, parts, options.stallMs, signal);
  };
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += step) {
      const part = piece.subarray(at, at + step);
      held.push(part);
      if (part.length > SMALL_BYTES) await leave();
    }
  }
  if (held.length > 0) await leave();
}

/** Writes the parts in one go; waits until the socket has taken them. Throws `cancelled` or `timeout`. */
async function written(
  outgoing: ServerResponse,
  parts: readonly Uint8Array[],
  stallMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  const stalled = setTimeout(() => {
    reject(
      new VmdnError('timeout', 'The receiver took nothing for too long.', { data: { stallMs } }),
    );
  }, stallMs);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    outgoing.cork();
    for (const part of parts)
      outgoing.write(part, part === parts.at(-1) ? () => resolve() : undefined);
    outgoing.uncork();
    await promise;
  } finally {
    clearTimeout(stalled);
    signal.removeEventListener('abort', onAbort);
  }
}
