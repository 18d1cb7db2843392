/**
 * Room: io, command. Runs a tool as a pipe: bytes in, bytes out, none of them kept.
 *
 * I1: the process never outlives the iteration: it is killed when the caller stops, when a limit is
 *     passed, when the input fails, and by the kernel when the thread that started it ends.
 * I2: memory is bounded by the two pipes: input is pulled only as the tool reads it, and the tool waits
 *     while nobody asks for its output.
 * I3: the end of the output counts only when the tool said that all was well.
 */

import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { VmdnError } from '../../domain/errors.ts';
import {
  boundCommand,
  checkArguments,
  isBoundToolMissing,
  recentOf,
  tailOf,
  translateFailure,
} from './command-failure.ts';
import { missingToolMessage } from './tool-packages.ts';

/** What a tool wrote before it ended is here at once; only who inherited its stderr may hold that open. */
const LAST_WORDS_MS = 1000;
const UNREF = { ref: false };

export interface FilterOptions {
  /** For the whole run, the time that the input takes included. */
  readonly timeoutMs: number;
  /** More output than this is `too_large`. */
  readonly maxOutputBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** See CommandRunner.filter. */
export async function* runFilter(
  tool: string,
  args: readonly string[],
  input: AsyncIterable<Uint8Array>,
  options: FilterOptions,
  env: Record<string, string>,
): AsyncGenerator<Uint8Array, void, undefined> {
  checkArguments(tool, args);
  const { signal, timeoutMs, maxOutputBytes } = options;
  const { file, argv } = boundCommand(tool, args);
  const child = execa(file, argv, {
    env,
    extendEnv: false,
    reject: false,
    buffer: false,
    // Nothing that it holds is worth a grace: it writes to nobody but us.
    killSignal: 'SIGKILL',
    timeout: timeoutMs,
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  let said = '';
  const lastWords = new Promise<void>((resolve) => child.stderr.once('close', resolve));
  child.stderr.on('data', (chunk: Buffer) => {
    said = recentOf(said + chunk.toString('utf8'));
  });
  let inputError: unknown;
  const feeding = feed(child.stdin, input).catch((error: unknown) => {
    inputError = error ?? new VmdnError('internal', 'A stream failed without saying why.');
    child.kill('SIGKILL');
  });
  let streamError: unknown;
  try {
    try {
      let total = 0;
      for await (const chunk of child.stdout) {
        total += chunk.length;
        if (total > maxOutputBytes) throw tooMuch(tool, maxOutputBytes);
        yield chunk;
      }
    } catch (error) {
      if (error instanceof VmdnError) throw error;
      // A killed tool's pipe may break; how the tool ended says why.
      streamError = error;
      child.kill('SIGKILL');
    }
    const result = await child;
    // That it ended may be known before what it said.
    if (result.failed) await Promise.race([lastWords, delay(LAST_WORDS_MS, undefined, UNREF)]);
    if (inputError !== undefined) throw inputError;
    const stderrTail = tailOf(said);
    if (isBoundToolMissing(result.exitCode, stderrTail)) {
      throw new VmdnError('tool_missing', missingToolMessage(tool), { data: { tool } });
    }
    if (result.failed) {
      throw translateFailure(tool, args, { ...result, stderr: stderrTail }, timeoutMs);
    }
    if (streamError !== undefined) throw streamError;
    await feeding;
  } finally {
    child.kill('SIGKILL');
    await child;
  }
}

/** Writes all of `input`, no faster than it is read. A reader that has gone is not an error of the input. */
async function feed(stdin: Writable, input: AsyncIterable<Uint8Array>): Promise<void> {
  // The tool's exit code says why it no longer reads; a broken pipe is only the consequence.
  stdin.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    stdin.once('close', resolve);
  });
  for await (const chunk of input) {
    if (stdin.destroyed) return;
    if (stdin.write(chunk)) continue;
    const drained = Promise.withResolvers<void>();
    stdin.once('drain', drained.resolve);
    await Promise.race([drained.promise, closed]);
  }
  stdin.end();
}

function tooMuch(tool: string, maxOutputBytes: number): VmdnError {
  return new VmdnError('too_large', `${tool} printed more than ${maxOutputBytes} bytes.`, {
    data: { tool, maxOutputBytes },
  });
}
