/**
 * Room: routes. What every command is given, and how a command is declared.
 *
 * I1: a command parses its arguments before it asks anybody anything.
 */

import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import type { Output } from '../output.ts';

export interface CommandContext {
  readonly output: Output;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Connects on the first call. Throws `unauthenticated` when no coordinator is known. */
  client(): Promise<CoordinatorClient>;
  /** Writes a file of the user's, or replaces it, at once or not at all. */
  writeFile(path: string, text: string): Promise<void>;
}

/** Examples below a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
