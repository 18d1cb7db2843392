/**
 * Room: http. Errors on the wire: one total table from code to status, one shape for the body, and
 * the way back for clients.
 *
 * I1: every code has a status (the type makes the table total).
 * I2: an error without a code is `internal`: its words stay in the log, under the request's id.
 */

import { type ErrorCode, isVmdnError, VmdnError } from '../domain/errors.ts';
import { errorReply } from './contracts/schemas.ts';

export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_input: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  stale_epoch: 409,
  source_running: 409,
  source_changed: 409,
  withdrawn: 410,
  too_large: 413,
  unsupported_format: 415,
  hostile_format: 422,
  incompatible_protocol: 426,
  quota_exceeded: 429,
  internal: 500,
  corrupt: 502,
  tool_missing: 500,
  tool_failed: 500,
  guest_not_ready: 504,
  timeout: 504,
  busy: 503,
  unavailable: 503,
  no_room: 507,
  disk_full: 507,
  cancelled: 499,
};

/** The body of an error reply, as contracts/schemas.ts `errorReply` has it. */
export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly requestId: string;
    readonly data?: Readonly<Record<string, unknown>>;
  };
}

/** Turns any error into a status and a body. Never throws. */
export function errorToReply(
  error: unknown,
  requestId: string,
): { status: number; body: ErrorBody } {
  if (!isVmdnError(error)) {
    const message =
      'Something went wrong inside the server; its log has the details under this request id.';
    return { status: 500, body: { error: { code: 'internal', message, requestId } } };
  }
  const { code, message, data } = error;
  const facts = Object.keys(data).length > 0 ? { data } : {};
  return { status: HTTP_STATUS[code], body: { error: { code, message, requestId, ...facts } } };
}

/** What a status without a readable body means to a client. */
function codeOfStatus(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 408 || status === 504) return 'timeout';
  if (status === 413) return 'too_large';
  if (status >= 500) return 'unavailable';
  return 'invalid_input';
}

/** The error that a reply carries, with the server's own code and words where it gave them. */
export function errorFromReply(status: number, body: unknown): VmdnError {
  const parsed = errorReply.safeParse(body);
  if (!parsed.success) {
    return new VmdnError(codeOfStatus(status), `The server answered with HTTP status ${status}.`, {
      data: { status },
    });
  }
  const { code, message, data, requestId } = parsed.data.error;
  return new VmdnError(code, message, { data: { ...data, status, requestId } });
}
