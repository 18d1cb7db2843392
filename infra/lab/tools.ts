/**
 * Room: infra, lab. Runs tools for proofs: a program to its end, or two with a pipe between them.
 *
 * I1: a tool that fails is an error with the last lines it wrote; nothing it printed is lost silently.
 * I2: argv arrays and no shell; every run ends by itself, by its deadline, or when it is cancelled.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { VmdnError } from '@vmdn/core/domain/errors.ts';

export interface ToolOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Given each line of its output as it comes, standard error included. */
  readonly onLine?: (line: string) => void;
}

type Argv = readonly [program: string, ...args: string[]];

const OUTPUT_BYTES_MAX = 16 * 2 ** 20;
const ERROR_LINES_SHOWN = 12;

interface Ending {
  readonly stdout: string;
  readonly stderr: string;
}

function start([program, ...args]: Argv, options: ToolOptions, piped: boolean): ChildProcess {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  return spawn(program, args, {
    stdio: [piped ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
    timeout: options.timeoutMs,
    ...signal,
  });
}

/** What a child says until it ends; rejects when it ends badly. `keep`: whether its output is wanted. */
function ending(
  child: ChildProcess,
  argv: Argv,
  options: ToolOptions,
  keep: boolean,
): Promise<Ending> {
  const said = { stdout: '', stderr: '' };
  let pending = '';
  const take = (stream: 'stdout' | 'stderr') => (chunk: Buffer) => {
    const text = chunk.toString('utf8');
    said[stream] = `${said[stream]}${text}`.slice(-OUTPUT_BYTES_MAX);
    if (options.onLine === undefined) return;
    const lines = `${pending}${text}`.split(/[\r\n]+/);
    pending = lines.pop() ?? '';
    for (const line of lines) if (line !== '') options.onLine(line);
  };
  if (keep) child.stdout?.on('data', take('stdout'));
  child.stderr?.on('data', take('stderr'));
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === 'ENOENT';
      const words = missing
        ? `${argv[0]} is missing: run infra/setup.sh`
        : `${argv[0]}: ${cause.message}`;
      reject(new VmdnError(missing ? 'tool_missing' : 'cancelled', words, { cause }));
    });
    child.once('close', (code, signal) => {
      if (code === 0) {
        resolve(said);
        return;
      }
      const how = signal === null ? `exit code ${code}` : signal;
      const last = `${said.stderr}\n${keep ? said.stdout : ''}`
        .trim()
        .split('\n')
        .slice(-ERROR_LINES_SHOWN);
      const words = `${argv.join(' ').slice(0, 300)} ended with ${how}:\n${last.join('\n')}`;
      reject(new VmdnError('tool_failed', words));
    });
  });
}

/** Runs a program to its end and returns what it printed. Throws `tool_failed`, `tool_missing`. */
export async function runTool(argv: Argv, options: ToolOptions): Promise<string> {
  return (await ending(start(argv, options, false), argv, options, true)).stdout;
}

/** Runs `from | into` and returns what the second printed. Fails when either does. */
export async function pipeTools(from: Argv, into: Argv, options: ToolOptions): Promise<string> {
  const source = start(from, options, false);
  const sink = start(into, options, true);
  sink.stdin?.on('error', () => source.stdout?.destroy());
  source.stdout?.pipe(sink.stdin as NodeJS.WritableStream);
  const [, printed] = await Promise.all([
    ending(source, from, options, false),
    ending(sink, into, options, true),
  ]);
  return printed.stdout;
}
