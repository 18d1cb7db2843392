/**
 * Room: io. The only place from which the CLI writes.
 *
 * I1: with `--json` stdout carries JSON and nothing else: one document, or one line for each event.
 * I2: words about failures and hints go to stderr, in both modes.
 * I3: a live display is only drawn on a terminal that can redraw; it leaves no trace in a pipe.
 */

import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';

/** Where the output goes: the process's own streams, or a test's. */
export interface Streams {
  readonly stdout: {
    write(text: string): unknown;
    readonly isTTY?: boolean;
    readonly columns?: number;
  };
  readonly stderr: { write(text: string): unknown };
}

export interface Output {
  readonly json: boolean;
  /** Whether a live display makes sense. */
  readonly live: boolean;
  /** Width of the terminal in columns. */
  readonly columns: number;
  /** A line for people; nothing with `--json`. */
  line(text: string): void;
  /** The result as one JSON document; nothing without `--json`. */
  document(value: unknown): void;
  /** One line of a stream of JSON events; nothing without `--json`. */
  event(value: unknown): void;
  /** A hint on stderr. */
  hint(text: string): void;
  /** Replaces the lines of the live display; an empty list takes it away. */
  redraw(lines: readonly string[]): void;
  /** The error in words on stderr, and as JSON on stdout with `--json`. */
  error(error: unknown): void;
}

const ESCAPE = '\u001b[';
const COLUMNS_DEFAULT = 80;

export function createOutput(
  streams: Streams,
  options: { readonly json: boolean; readonly live: boolean },
): Output {
  const { stdout, stderr } = streams;
  const { json } = options;
  const live = options.live && !json && stdout.isTTY === true;
  let drawnLines = 0;
  return {
    json,
    live,
    get columns() {
      return stdout.columns ?? COLUMNS_DEFAULT;
    },
    line: (text) => void (json || stdout.write(`${text}\n`)),
    document: (value) => void (json && stdout.write(`${JSON.stringify(value, null, 2)}\n`)),
    event: (value) => void (json && stdout.write(`${JSON.stringify(value)}\n`)),
    hint: (text) => void stderr.write(`${text}\n`),
    redraw(lines) {
      if (!live) return;
      const back = drawnLines > 0 ? `${ESCAPE}${drawnLines}F` : '';
      stdout.write(`${back}${ESCAPE}J${lines.map((line) => `${line}\n`).join('')}`);
      drawnLines = lines.length;
    },
    error(error) {
      stderr.write(`vmdn: ${wordsFor(error)}\n`);
      if (json) stdout.write(`${JSON.stringify({ error: errorDocument(error) })}\n`);
    },
  };
}

function wordsFor(error: unknown): string {
  if (isVmdnError(error)) return `${error.message} (${error.code})`;
  return `this is a defect of VMDN, please report it: ${describeError(error)}`;
}

function errorDocument(error: unknown): Record<string, unknown> {
  if (!isVmdnError(error)) return { code: 'internal', message: describeError(error) };
  return { code: error.code, message: error.message, data: error.data };
}
