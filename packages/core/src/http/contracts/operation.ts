/**
 * Room: http, contracts. What an operation is: method, path, who may call it, and the schemas of
 * all that goes in and comes out. Servers build their routes from these values and clients their
 * calls, so the two cannot drift.
 *
 * I1: every operation names its callers; a server refuses a route table with an operation without
 *     a guard (tests walk the table).
 */

import type { z } from 'zod';

/**
 * Who may call. `client`: bearer token of a user. `origin`, `edge`, `node`: a request proof by an
 * enrolled node's key. `enrolment`: a one-time enrolment token in the body. `grant`: a grant signed
 * by the coordinator and a proof by the key it names. `public`: anybody, gives nothing away.
 */
export type Caller = 'client' | 'origin' | 'edge' | 'node' | 'enrolment' | 'grant' | 'public';

export interface Operation<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Reply extends z.ZodType = z.ZodType,
> {
  readonly id: string;
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** With `{name}` for parameters, as in OpenAPI. */
  readonly path: string;
  readonly summary: string;
  readonly caller: Caller;
  readonly status: 200 | 201 | 202 | 204;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly reply: Reply;
}

/** What an operation answers, parsed. */
export type ReplyOf<Op extends Operation> = z.output<Op['reply']>;

/** Identity function that infers the schemas' types. */
export function defineOperation<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Body extends z.ZodType,
  Reply extends z.ZodType,
>(operation: Operation<Params, Query, Body, Reply>): Operation<Params, Query, Body, Reply> {
  return Object.freeze(operation);
}
