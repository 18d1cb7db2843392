/**
 * Room: process. A short question to a running service: its answer as one line of JSON, then the end.
 */

import { describeError } from '../domain/errors.ts';

/** Runs `ask` and prints what it gives. Never rejects: a failure is one line on stderr and exit code 1. */
export async function runQuery(ask: () => Promise<unknown>): Promise<void> {
  try {
    process.stdout.write(`${JSON.stringify(await ask())}\n`);
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`);
    process.exitCode = 1;
  }
}
