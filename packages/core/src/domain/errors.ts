/**
 * Room: domain. The one error type of the product and its closed list of codes.
 *
 * I1: every error that a user can meet carries a code from `ERROR_CODES`; HTTP maps each code to a
 *     status in one total table (http/error-response.ts), the CLI maps it to an exit code.
 * I2: the message says what is wrong and what to do next; internals go into `data` and `cause`.
 */

/** What can go wrong, in the product's own words. Sorted by what the receiver should do. */
export const ERROR_CODES = [
  // The request is wrong: correct it and ask again.
  'invalid_input',
  'unauthenticated',
  'forbidden',
  'not_found',
  'conflict',
  'too_large',
  'unsupported_format',
  'hostile_format',
  'incompatible_protocol',
  // The world is not ready: the same request may succeed later.
  'no_room',
  'source_running',
  'source_changed',
  'withdrawn',
  'busy',
  'quota_exceeded',
  'unavailable',
  'timeout',
  'cancelled',
  'stale_epoch',
  // Bytes or tools are not what they should be.
  'corrupt',
  'disk_full',
  'tool_missing',
  'tool_failed',
  'guest_not_ready',
  // A defect of ours.
  'internal',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Facts about an error, for logs and for `--json`; only plain JSON values. */
export type ErrorData = Readonly<Record<string, unknown>>;

/** An error with a code, words for the user, facts, and the error that caused it. */
export class VmdnError extends Error {
  readonly code: ErrorCode;
  readonly data: ErrorData;

  constructor(
    code: ErrorCode,
    message: string,
    options: { data?: ErrorData; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'VmdnError';
    this.code = code;
    this.data = options.data ?? {};
  }
}

/** True when `error` is a VmdnError, of the given code if one is named. */
export function isVmdnError(error: unknown, code?: ErrorCode): error is VmdnError {
  return error instanceof VmdnError && (code === undefined || error.code === code);
}

/** The chain of causes as one line, outermost first: what logs print. */
export function describeError(error: unknown): string {
  const words: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current !== undefined && depth < 8; depth += 1) {
    words.push(current instanceof Error ? current.message : String(current));
    current = current instanceof Error ? current.cause : undefined;
  }
  return words.join(' <- ');
}
