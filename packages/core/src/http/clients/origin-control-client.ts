/**
 * Room: http, clients. Asks an origin on this machine, by its control socket.
 */

import { Agent, request } from 'undici';
import type { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import type { Operation } from '../contracts/operation.ts';
import { errorFromReply } from '../error-response.ts';

const TIMEOUT_MS = 30_000;

/** Calls an operation of contracts/origin-control.ts. Throws the origin's own error, `unavailable`. */
export async function callOriginControl<Op extends Operation>(
  socketPath: string,
  operation: Op,
  body?: z.input<Op['body']>,
): Promise<z.output<Op['reply']>> {
  const agent = new Agent({ connect: { socketPath } });
  try {
    const answer = await request(`http://origin${operation.path}`, {
      method: operation.method.toUpperCase() as 'GET',
      headers: { 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      dispatcher: agent,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    });
    const value: unknown = await answer.body.json();
    if (answer.statusCode >= 300) throw errorFromReply(answer.statusCode, value);
    return operation.reply.parse(value) as z.output<Op['reply']>;
  } catch (cause) {
    if (cause instanceof VmdnError) throw cause;
    const message = `No origin answers at ${socketPath}. Is it running, under this user?`;
    throw new VmdnError('unavailable', message, { data: { socketPath }, cause });
  } finally {
    await agent.close();
  }
}
