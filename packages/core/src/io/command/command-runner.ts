/**
 * Room: io, command. The port through which everything else starts processes, and its adapter by execa.
 *
 * I1: arguments are an array, never a shell line; whoever passes a path puts `--` before it where the
 *     tool knows that.
 * I2: a process sees only the variables that it was given, a fixed search path and LC_ALL=C: no secret of
 *     ours leaks into a tool.
 * I3: `run` and `filter` always have a time limit and an output limit; `start` is for processes that live
 *     on, which end with this one (`with-parent`, even after a kill -9 of ours) or outlive it (`detached`).
 * I4: every failure is one of tool_missing, tool_failed, timeout, cancelled (command-failure.ts).
 */

import { closeSync, openSync } from 'node:fs';
import { execa, type Options } from 'execa';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_TOOL_OUTPUT_BYTES } from '../../domain/limits.ts';
import {
  boundCommand,
  checkArguments,
  isBoundToolMissing,
  recentOf,
  tailOf,
  translateFailure,
} from './command-failure.ts';
import { type FilterOptions, runFilter } from './run-filter.ts';
import { missingToolMessage } from './tool-packages.ts';

/** Where tools are looked for: Debian's own places, sbin too (mke2fs, debugfs). */
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** How long a process may take to end after SIGTERM, before SIGKILL. */
const GRACE_MS = 5000;

export interface RunOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Standard input; empty without it. */
  readonly input?: Uint8Array | string;
  readonly cwd?: string;
  /** Added to the search path and LC_ALL. */
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are an answer, not a failure. Default: 0 only. */
  readonly okExitCodes?: readonly number[];
  readonly maxOutputBytes?: number;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

export interface StartOptions {
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** `with-parent`: ends when this process does, however that ends. `detached`: outlives it. */
  readonly lifetime: 'with-parent' | 'detached';
  /** A file that gets its output instead of us: needed by a `detached` process that prints. */
  readonly logPath?: string;
}

/** How a process ended. */
export interface CommandExit {
  readonly exitCode: number | null;
  readonly signalName: string | null;
  /** Last lines of its standard error. */
  readonly stderrTail: string;
}

export interface RunningCommand {
  readonly pid: number;
  /** Settles when the process has ended; never rejects, except with tool_missing. */
  readonly exited: Promise<CommandExit>;
  /** SIGTERM, then SIGKILL after `graceMs`; resolves when the process has ended. Idempotent. */
  stop(graceMs?: number): Promise<CommandExit>;
}

/** Starts processes. Every tool adapter takes one; nothing else does. */
export interface CommandRunner {
  /** Runs a tool to its end. Throws tool_missing, tool_failed (with its last words), timeout, cancelled. */
  run(tool: string, args: readonly string[], options: RunOptions): Promise<CommandResult>;
  /** Starts a tool that lives on. Throws tool_missing. */
  start(tool: string, args: readonly string[], options: StartOptions): RunningCommand;
  /**
   * Runs a tool as a filter: what `input` yields goes to its standard input, what it prints is yielded.
   * The process starts with the first piece that is asked for, ends with this one, and is killed when
   * the caller stops early. Throws what `input` throws, tool_missing, tool_failed, too_large (it printed
   * more than it may), timeout, cancelled.
   */
  filter(
    tool: string,
    args: readonly string[],
    input: AsyncIterable<Uint8Array>,
    options: FilterOptions,
  ): AsyncIterable<Uint8Array>;
}

/** The adapter by execa. `env` is given to every process (HOME, TMPDIR and the like, if tools need them). */
export function createCommandRunner(
  config: { readonly env?: Readonly<Record<string, string>> } = {},
): CommandRunner {
  const environment = (extra: Readonly<Record<string, string>> = {}): Record<string, string> => ({
    PATH: SEARCH_PATH,
    ...config.env,
    ...extra,
    LC_ALL: 'C',
  });
  return {
    run: (tool, args, options) => run(tool, args, options, environment(options.env)),
    start: (tool, args, options) => start(tool, args, options, environment(options.env)),
    filter: (tool, args, input, options) => runFilter(tool, args, input, options, environment()),
  };
}

async function run(
  tool: string,
  args: readonly string[],
  options: RunOptions,
  env: Record<string, string>,
): Promise<CommandResult> {
  checkArguments(tool, args);
  const settings: Options = {
    env,
    extendEnv: false,
    reject: false,
    timeout: options.timeoutMs,
    forceKillAfterDelay: GRACE_MS,
    maxBuffer: options.maxOutputBytes ?? MAX_TOOL_OUTPUT_BYTES,
    stripFinalNewline: false,
    stdin: options.input === undefined ? 'ignore' : 'pipe',
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  };
  const result = await execa(tool, [...args], settings);
  const [stdout, stderr] = [String(result.stdout ?? ''), String(result.stderr ?? '')];
  const exitCode = result.exitCode;
  if (exitCode !== undefined && (options.okExitCodes ?? [0]).includes(exitCode)) {
    if (!result.timedOut && !result.isCanceled && !result.isMaxBuffer) {
      return { stdout, stderr, exitCode };
    }
  }
  throw translateFailure(tool, args, result, options.timeoutMs);
}

function start(
  tool: string,
  args: readonly string[],
  options: StartOptions,
  env: Record<string, string>,
): RunningCommand {
  checkArguments(tool, args);
  const isBound = options.lifetime === 'with-parent';
  const { file, argv } = isBound ? boundCommand(tool, args) : { file: tool, argv: [...args] };
  // execa takes any descriptor; its types know only 3 to 9.
  const logFd =
    options.logPath === undefined ? undefined : (openSync(options.logPath, 'a', 0o600) as 3);
  const child = execa(file, argv, {
    env,
    extendEnv: false,
    reject: false,
    buffer: false,
    cleanup: isBound,
    detached: !isBound,
    stdin: 'ignore',
    stdout: logFd ?? 'ignore',
    stderr: logFd ?? (isBound ? 'pipe' : 'ignore'),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (logFd !== undefined) closeSync(logFd);
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = recentOf(said + chunk.toString('utf8'));
  });
  const exited = child.then((result): CommandExit => {
    const tail = tailOf(said);
    const isMissing =
      ('code' in result && result.code === 'ENOENT') ||
      (isBound && isBoundToolMissing(result.exitCode, tail));
    if (isMissing) {
      throw new VmdnError('tool_missing', missingToolMessage(tool), { data: { tool } });
    }
    const { exitCode = null, signal = null } = result;
    return { exitCode, signalName: signal, stderrTail: tail };
  });
  // Whoever awaits `exited` gets the error; a caller that never does must not crash the process.
  exited.catch(() => {});
  if (!isBound) child.nodeChildProcess.unref();
  return {
    pid: child.pid ?? -1,
    exited,
    stop: (graceMs = GRACE_MS) => {
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      return exited.finally(() => clearTimeout(killer));
    },
  };
}
