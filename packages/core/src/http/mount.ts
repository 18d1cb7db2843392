/**
 * Room: http. From contracts to routes: one place where input is bounded, callers are checked,
 * schemas are enforced and errors become replies.
 *
 * I1: the order is: bound the body, check the caller, parse the input, run. Nothing of the input is
 *     looked at before the caller is known (the proof covers the raw body).
 * I2: a field that the schema does not know is an error, at any depth: a misspelt option must not
 *     be taken for a left out one.
 * I3: an error never leaves a route except through `errorToReply`.
 */

import { randomUUID } from 'node:crypto';
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { describeError, VmdnError } from '../domain/errors.ts';
import type { Logger } from '../process/logger.ts';
import type { Operation } from './contracts/operation.ts';
import { errorToReply } from './error-response.ts';

/** The node server's own request and response, for bulk bodies. */
export interface AppEnv {
  readonly Bindings: import('@hono/node-server').HttpBindings;
  readonly Variables: { requestId: string };
}
export type App = Hono<AppEnv>;
export type AppContext = Context<AppEnv>;

/** JSON bodies: a description with 50,000 packages is some 5 MB; most operations take far less. */
export const JSON_BODY_BYTES_MAX = 1024 * 1024;

/** Problems that one reply names: enough to correct a request, too few to flood a log. */
const PROBLEMS_MAX = 10;

/** Checks who calls; `body` is the raw body. Throws `unauthenticated` or `forbidden`. */
export type Guard<Identity> = (context: AppContext, body: Uint8Array) => Promise<Identity>;

type InputOf<Op extends Operation> = {
  readonly params: z.output<Op['params']>;
  readonly query: z.output<Op['query']>;
  readonly body: z.output<Op['body']>;
};

/** What a handler returns may be read-only all the way down: it is only written out. */
type ReplyOf<T> = T extends readonly (infer Item)[]
  ? readonly ReplyOf<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: ReplyOf<T[Key]> }
    : T;

/** An empty application with request ids and error replies. */
export function createApp(options: { readonly logger: Logger }): App {
  const app = new Hono<AppEnv>();
  app.use(async (context, next) => {
    context.set('requestId', randomUUID());
    await next();
    context.header('x-request-id', context.get('requestId'));
  });
  app.notFound((context) =>
    replyError(context, new VmdnError('not_found', 'There is nothing at this path.')),
  );
  app.onError((error, context) => {
    const requestId = context.get('requestId');
    const { status } = errorToReply(error, requestId);
    const facts = { requestId, method: context.req.method, path: context.req.path, status };
    if (status >= 500) options.logger.error({ ...facts, err: error }, describeError(error));
    else options.logger.info(facts, describeError(error));
    return replyError(context, error);
  });
  return app;
}

function replyError(context: AppContext, error: unknown): Response {
  const { status, body } = errorToReply(error, context.get('requestId'));
  if (body.error.code === 'busy') context.header('retry-after', '1');
  return context.json(body, status as 400);
}

/** Mounts one operation. The handler's value is the JSON reply, unless it is a Response. */
export function mountOperation<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Body extends z.ZodType,
  Reply extends z.ZodType,
  Identity,
>(
  app: App,
  operation: Operation<Params, Query, Body, Reply>,
  guard: Guard<Identity>,
  handler: (
    input: InputOf<Operation<Params, Query, Body, Reply>>,
    identity: Identity,
    context: AppContext,
  ) => Promise<ReplyOf<z.input<Reply>> | Response>,
  options: { readonly bodyBytesMax?: number } = {},
): void {
  const path = operation.path.replace(/\{(\w+)\}/g, ':$1');
  app.on(operation.method.toUpperCase(), path, async (context) => {
    const raw = await readBoundedBody(context, options.bodyBytesMax ?? JSON_BODY_BYTES_MAX);
    const identity = await guard(context, raw);
    const input = {
      params: parse(operation.params, blankToUndefined(context.req.param()), 'path'),
      query: parse(operation.query, blankToUndefined(context.req.query()), 'query'),
      body: parse(operation.body, raw.length === 0 ? undefined : parseJson(raw), 'body'),
    };
    const reply = await handler(input, identity, context);
    if (reply instanceof Response) return reply;
    if (operation.status === 204) return context.body(null, 204);
    return context.json(reply as object, operation.status);
  });
}

function blankToUndefined(record: Record<string, string>): Record<string, string> | undefined {
  return Object.keys(record).length === 0 ? undefined : record;
}

function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where: string,
): z.output<Schema> {
  // An operation whose parameters are all optional may be called without any.
  const parsed = schema.safeParse(value);
  const result = !parsed.success && value === undefined ? schema.safeParse({}) : parsed;
  const problems = result.success
    ? unknownFields(value, result.data, [where])
    : result.error.issues.map((issue) => `${[where, ...issue.path].join('.')}: ${issue.message}`);
  if (result.success && problems.length === 0) return result.data;
  problems.length = Math.min(problems.length, PROBLEMS_MAX);
  throw new VmdnError('invalid_input', `The request is wrong: ${problems.join('; ')}.`, {
    data: { problems },
  });
}

/** Fields of the input that parsing left out: zod drops what an object's schema does not name. */
function unknownFields(given: unknown, parsed: unknown, path: readonly string[]): string[] {
  if (typeof given !== 'object' || given === null) return [];
  if (typeof parsed !== 'object' || parsed === null) return [];
  return Object.entries(given).flatMap(([key, value]) =>
    Object.hasOwn(parsed, key)
      ? unknownFields(value, (parsed as Record<string, unknown>)[key], [...path, key])
      : [`${[...path, key].join('.')}: there is no such field`],
  );
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new VmdnError('invalid_input', 'The body is not JSON.', { cause });
  }
}

/** Reads a body of at most `bytesMax`; stops reading at the first byte too many. Throws `too_large`. */
export async function readBoundedBody(context: AppContext, bytesMax: number): Promise<Uint8Array> {
  const tooLarge = (): VmdnError =>
    new VmdnError('too_large', `The body may have at most ${bytesMax} bytes.`, {
      data: { bytesMax },
    });
  if (Number(context.req.header('content-length') ?? 0) > bytesMax) throw tooLarge();
  const stream = context.req.raw.body;
  if (stream === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > bytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}
