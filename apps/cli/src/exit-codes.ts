/**
 * Room: domain. The exit code for each error code, after sysexits.h, so that a script can decide
 * without reading words.
 *
 * I1: the table is total (its type says so); 0 is success and only that.
 */

import { type ErrorCode, isVmdnError } from '@vmdn/core/domain/errors.ts';

/** Wrong command line: EX_USAGE. */
export const EXIT_USAGE = 64;
/** Ended by Ctrl-C, as shells count it: 128 + SIGINT. */
export const EXIT_INTERRUPTED = 130;

export const EXIT_CODES: Readonly<Record<ErrorCode, number>> = {
  // Correct the request.
  invalid_input: EXIT_USAGE,
  too_large: 65,
  unsupported_format: 65,
  hostile_format: 65,
  conflict: 65,
  not_found: 66,
  unauthenticated: 77,
  forbidden: 77,
  incompatible_protocol: 76,
  // Try again later.
  unavailable: 69,
  timeout: 75,
  busy: 75,
  no_room: 75,
  quota_exceeded: 75,
  source_running: 75,
  source_changed: 75,
  withdrawn: 75,
  stale_epoch: 75,
  cancelled: 75,
  guest_not_ready: 75,
  // Look at the machine.
  corrupt: 74,
  disk_full: 73,
  tool_missing: 72,
  tool_failed: 71,
  internal: 70,
};

/** The exit code for whatever was thrown. */
export function exitCodeOf(error: unknown): number {
  return isVmdnError(error) ? EXIT_CODES[error.code] : EXIT_CODES.internal;
}

/** The table for `vmdn --help`: code, and the errors behind it. */
export function exitCodeTable(): string {
  const rows = new Map<number, string[]>();
  for (const [error, code] of Object.entries(EXIT_CODES)) {
    rows.set(code, [...(rows.get(code) ?? []), error]);
  }
  const lines = [...rows].sort(([left], [right]) => left - right);
  return lines.map(([code, errors]) => `  ${code}  ${errors.join(', ')}`).join('\n');
}
