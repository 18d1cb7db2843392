/**
 * Room: http, clients. The coordinator as seen by nodes and by the CLI: one typed call for every
 * operation of the contracts.
 *
 * I1: a reply is parsed by the operation's schema before anybody sees it, and is bounded in size.
 * I2: a server that can't be reached is `unavailable`; one that is slow is `timeout`; neither says
 *     anything about whether the request was carried out.
 */

import { setTimeout } from 'node:timers/promises';
import { Agent, type Dispatcher, request } from 'undici';
import type { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import { type Id, parseId } from '../../domain/names.ts';
import { isSettled } from '../../domain/teleport.ts';
import type { NodeKey } from '../auth/keys.ts';
import { signProof } from '../auth/proof.ts';
import {
  followTeleport,
  getTeleport,
  type Teleport,
  teleport,
} from '../contracts/coordinator-clients.ts';
import { PROOF_HEADER } from '../contracts/disks.ts';
import type { Operation } from '../contracts/operation.ts';
import { errorFromReply } from '../error-response.ts';

export const COORDINATOR_AUDIENCE = 'coordinator';
/** The desired state of an edge that knows 10,000 versions, each with 64 holders: 20 kB apiece. */
const REPLY_BYTES_MAX = 256 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
/** The server sends a comment at least every 15 s; silence for longer means a dead connection. */
const EVENT_SILENCE_MS = 45_000;
/** A coordinator that restarts takes about this long; a broken one is not hammered. */
const RECONNECT_MS = 500;
const EVENT_BYTES_MAX = 8 * 1024 * 1024;

export type Credentials =
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'node'; readonly node: Id; readonly key: NodeKey }
  | { readonly kind: 'none' };

export interface CallInput<Op extends Operation> {
  readonly params?: z.input<Op['params']>;
  readonly query?: z.input<Op['query']>;
  readonly body?: z.input<Op['body']>;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

export interface CoordinatorClient extends AsyncDisposable {
  readonly url: string;
  /** Calls an operation. Throws the server's own VmdnError, `unavailable`, `timeout`, `cancelled`. */
  call<Op extends Operation>(operation: Op, input: CallInput<Op>): Promise<z.output<Op['reply']>>;
  /** Yields the teleport at each change until it is final; connects again when the stream breaks. */
  followTeleport(teleport: Id, options?: { signal?: AbortSignal }): AsyncIterable<Teleport>;
}

/** A client for one coordinator with one identity. */
export function createCoordinatorClient(options: {
  readonly url: string;
  readonly credentials: Credentials;
}): CoordinatorClient {
  const agent = new Agent({ connect: { timeout: 10_000 }, keepAliveTimeout: 30_000 });
  const send = createSender(options, agent);
  const client: CoordinatorClient = {
    url: options.url,
    async call(operation, input) {
      const path = pathOf(operation, input);
      const body = input.body === undefined ? undefined : Buffer.from(JSON.stringify(input.body));
      const timeoutMs = input.timeoutMs ?? TIMEOUT_MS;
      const reply = await send(operation.method, path, { body, timeoutMs, signal: input.signal });
      const value = parseReply(await readBounded(reply.body), reply.statusCode);
      if (reply.statusCode >= 300) throw errorFromReply(reply.statusCode, value);
      const parsed = operation.reply.safeParse(value);
      if (parsed.success) return parsed.data as never;
      throw new VmdnError(
        'incompatible_protocol',
        `The coordinator's answer to ${operation.id} is not understood; bring both to the same version.`,
        { data: { issues: parsed.error.issues.slice(0, 5) } },
      );
    },
    followTeleport: (id, follow = {}) => followUntilFinal(client, send, id, follow.signal),
    async [Symbol.asyncDispose]() {
      await agent.destroy();
    },
  };
  return client;
}

type Send = (
  method: string,
  path: string,
  options: {
    readonly body?: Uint8Array | undefined;
    readonly timeoutMs: number;
    readonly signal?: AbortSignal | undefined;
  },
) => Promise<Dispatcher.ResponseData>;

function createSender(
  options: { readonly url: string; readonly credentials: Credentials },
  agent: Agent,
): Send {
  const origin = options.url.replace(/\/+$/, '');
  return async (method, path, { body, timeoutMs, signal }) => {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (body !== undefined) headers['content-type'] = 'application/json';
    Object.assign(
      headers,
      await authHeaders(options.credentials, method.toUpperCase(), path, body),
    );
    try {
      return await request(`${origin}${path}`, {
        method: method.toUpperCase() as Dispatcher.HttpMethod,
        headers,
        body: body ?? null,
        dispatcher: agent,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: signal ?? null,
      });
    } catch (cause) {
      throw translate(cause, origin, signal);
    }
  };
}

async function authHeaders(
  credentials: Credentials,
  method: string,
  path: string,
  body: Uint8Array | undefined,
): Promise<Record<string, string>> {
  if (credentials.kind === 'bearer') return { authorization: `Bearer ${credentials.token}` };
  if (credentials.kind === 'none') return {};
  const proof = await signProof(credentials.key, {
    keyId: credentials.node,
    audience: COORDINATOR_AUDIENCE,
    method,
    path,
    body,
  });
  return { [PROOF_HEADER]: proof };
}

/** An undici failure in our own words. */
export function translate(cause: unknown, origin: string, signal?: AbortSignal): VmdnError {
  if (cause instanceof VmdnError) return cause;
  if (signal?.aborted) return new VmdnError('cancelled', 'The request was cancelled.', { cause });
  const code = (cause as { code?: string }).code ?? '';
  if (code.includes('TIMEOUT')) {
    return new VmdnError('timeout', `${origin} did not answer in time.`, {
      data: { origin },
      cause,
    });
  }
  return new VmdnError('unavailable', `${origin} can't be reached; is it running there?`, {
    data: { origin, code },
    cause,
  });
}

function pathOf(operation: Operation, input: CallInput<Operation>): string {
  const params = (input.params ?? {}) as Record<string, string | number>;
  const path = operation.path.replace(/\{(\w+)\}/g, (_, key: string) =>
    encodeURIComponent(String(params[key])),
  );
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries((input.query ?? {}) as Record<string, unknown>)) {
    if (value !== undefined) query.set(key, String(value));
  }
  return query.size === 0 ? path : `${path}?${query}`;
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      length += chunk.length;
      if (length > REPLY_BYTES_MAX) throw new VmdnError('too_large', 'The answer is too large.');
      chunks.push(chunk);
    }
  } catch (cause) {
    throw translate(cause, 'the coordinator');
  }
  return Buffer.concat(chunks);
}

function parseReply(body: Buffer, status: number): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (cause) {
    if (status >= 300) return undefined;
    throw new VmdnError('incompatible_protocol', 'The answer is not JSON; is this a coordinator?', {
      cause,
    });
  }
}

async function* followUntilFinal(
  client: CoordinatorClient,
  send: Send,
  id: Id,
  signal: AbortSignal | undefined,
): AsyncGenerator<Teleport> {
  const path = followTeleport.path.replace('{teleport}', parseId(id, 'teleport'));
  let last: Teleport | undefined;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const reply = await send('get', path, { timeoutMs: EVENT_SILENCE_MS, signal });
      if (reply.statusCode !== 200) {
        throw errorFromReply(reply.statusCode, parseReply(await readBounded(reply.body), 500));
      }
      for await (const data of eventData(reply.body)) {
        last = teleport.parse(JSON.parse(data));
        yield last;
        if (isSettled(last)) return;
      }
    } catch (error) {
      if (error instanceof VmdnError && error.code !== 'unavailable' && error.code !== 'timeout')
        throw error;
      if (signal?.aborted) throw error;
    }
    // The stream broke: the present state says whether it is worth following again.
    await setTimeout(RECONNECT_MS, undefined, { signal });
    last = await client.call(getTeleport, { params: { teleport: id }, signal });
    yield last;
    if (isSettled(last)) return;
  }
}

/** The `data:` fields of a stream of server-sent events (WHATWG HTML §9.2), comments left out. */
async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pending = '';
  try {
    for await (const chunk of body) {
      pending += decoder.decode(chunk, { stream: true });
      if (pending.length > EVENT_BYTES_MAX)
        throw new VmdnError('too_large', 'An event is too large.');
      for (let end = pending.indexOf('\n\n'); end >= 0; end = pending.indexOf('\n\n')) {
        const lines = pending.slice(0, end).split('\n');
        pending = pending.slice(end + 2);
        const data = lines
          .filter((line) => line.startsWith('data:'))
          .map((line) => line.slice(5).trim());
        if (data.length > 0) yield data.join('\n');
      }
    }
  } catch (cause) {
    throw translate(cause, 'the coordinator');
  }
}
