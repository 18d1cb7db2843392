/**
 * Room: io, command. What went wrong with a process, in the product's words, and what binds one to us.
 *
 * I1: errors are translated here and nowhere else: tool_missing, tool_failed, timeout, cancelled.
 * I2: what is kept of a tool's last words is bounded in lines and in their length.
 */

import { VmdnError } from '../../domain/errors.ts';
import { TOOL_ERROR_LINES } from '../../domain/limits.ts';
import { missingToolMessage } from './tool-packages.ts';

/**
 * The command line of `tool` as a process that the kernel kills when the thread that started it ends: so
 * not even a kill -9 of ours leaves a process behind that holds the lock of somebody's disk.
 */
export function boundCommand(
  tool: string,
  args: readonly string[],
): { readonly file: string; readonly argv: string[] } {
  return { file: 'setpriv', argv: ['--pdeathsig', 'KILL', '--', tool, ...args] };
}

/** Whether a bound command ended because there is no such tool. */
export function isBoundToolMissing(exitCode: number | undefined, stderrTail: string): boolean {
  return exitCode === 127 && stderrTail.startsWith('setpriv: failed to execute');
}

/** What of execa's result says why a process failed. */
export interface Failure {
  readonly timedOut: boolean;
  readonly isCanceled: boolean;
  readonly isMaxBuffer: boolean;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly stderr?: unknown;
  readonly code?: string | undefined;
  readonly cause?: unknown;
}

/** The error for a process that failed; `timeoutMs` is what it was given. */
export function translateFailure(
  tool: string,
  args: readonly string[],
  failure: Failure,
  timeoutMs: number,
): VmdnError {
  const lastWords = tailOf(String(failure.stderr ?? ''));
  const data = {
    tool,
    args: args.join(' ').slice(0, 2000),
    exitCode: failure.exitCode ?? null,
    signal: failure.signal ?? null,
    stderr: lastWords,
  };
  const cause = failure.cause;
  if (failure.isCanceled) return new VmdnError('cancelled', `${tool} was cancelled.`, { data });
  if (failure.timedOut) {
    const message = `${tool} did not finish within ${timeoutMs / 1000} s.`;
    return new VmdnError('timeout', message, { data });
  }
  if (failure.code === 'ENOENT') {
    return new VmdnError('tool_missing', missingToolMessage(tool), { data, cause });
  }
  if (failure.isMaxBuffer) {
    return new VmdnError('tool_failed', `${tool} printed more than it should.`, { data });
  }
  const why = lastWords === '' ? `exit code ${failure.exitCode ?? failure.signal}` : lastWords;
  return new VmdnError('tool_failed', `${tool} failed: ${why}`, { data, cause });
}

/** A NUL would cut an argument short; everything else is the tool's own business. Throws `invalid_input`. */
export function checkArguments(tool: string, args: readonly string[]): void {
  if (![tool, ...args].some((arg) => arg.includes('\0'))) return;
  throw new VmdnError('invalid_input', 'A name or path holds a NUL character.', { data: { tool } });
}

const TAIL_CHARACTERS = 8192;

/** What is kept of a tool's output while it goes on: as it came, words may be in two pieces. */
export function recentOf(text: string): string {
  return text.slice(-TAIL_CHARACTERS);
}

/** The last lines of a tool's output, each of bounded length. */
export function tailOf(text: string): string {
  const lines = recentOf(text.trimEnd()).split('\n').slice(-TOOL_ERROR_LINES);
  return lines.map(shorten).join('\n');
}

/** A long line without its middle: tools put the subject first and the reason last. */
function shorten(line: string): string {
  return line.length <= 600 ? line : `${line.slice(0, 200)} … ${line.slice(-400)}`;
}
