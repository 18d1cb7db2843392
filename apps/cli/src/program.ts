/**
 * Room: composition root. The `vmdn` tool: its options, its commands, and how a run of it ends.
 *
 * I1: every failure ends here: words on stderr, an exit code from the table, never a stack for users.
 * I2: help goes to stdout and exits with 0; a wrong command line exits with 64.
 */

import { join } from 'node:path';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import {
  type CoordinatorClient,
  createCoordinatorClient,
} from '@vmdn/core/http/clients/coordinator-client.ts';
import { CLIENT_FILE_NAME, readClientFile } from '@vmdn/core/io/files/client-file.ts';
import { durableWrite } from '@vmdn/core/io/files/durable-write.ts';
import { configDir, stateDir } from '@vmdn/core/process/paths.ts';
import { Command, CommanderError } from 'commander';
import type { CommandContext } from './commands/command.ts';
import { addDeliveredCommands } from './commands/delivered.ts';
import { addExportCommand } from './commands/export.ts';
import { addLookCommands } from './commands/look.ts';
import { addPlaceCommands } from './commands/place.ts';
import { addReceiptCommand } from './commands/receipt.ts';
import { addTeleportCommands } from './commands/teleport.ts';
import { findConnection } from './connection.ts';
import { EXIT_INTERRUPTED, EXIT_USAGE, exitCodeOf, exitCodeTable } from './exit-codes.ts';
import { createOutput, type Output, type Streams } from './output.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface RunOptions {
  /** Without the program's own name. */
  readonly args: readonly string[];
  readonly env: Environment;
  readonly streams: Streams;
  readonly signal: AbortSignal;
}

const GLOBAL_HELP = `
More commands, which the launcher runs:
  coordinator, origin, edge   run a service (settings: docs/OPERATING.md)
  lab status | lab stop       look at, or stop, the network that "npm start -- --keep" left

The coordinator is found by --url and --token, VMDN_URL and VMDN_TOKEN, --client-file or
VMDN_CLIENT_FILE, or the client file that a coordinator on this machine wrote.

Exit codes: 0 done, 64 wrong command line, 130 interrupted, and by error:
${exitCodeTable()}
`;

/** Client files by convention: the user's own, then those of coordinators on this machine. */
export function usualClientFiles(env: Environment): string[] {
  const state = stateDir(env);
  const folders = [
    configDir(env),
    join(state, 'coordinator'),
    '/var/lib/vmdn/coordinator',
    join(state, 'demo', 'coordinator'),
  ];
  return [...new Set(folders)].map((folder) => join(folder, CLIENT_FILE_NAME));
}

/** Runs the tool once. Returns the exit code; never throws. */
export async function runProgram(options: RunOptions): Promise<number> {
  const { args, env, streams, signal } = options;
  const live = env.NO_COLOR === undefined && env.TERM !== 'dumb';
  const output = createOutput(streams, { json: args.includes('--json'), live });
  let client: CoordinatorClient | undefined;
  const program = createProgram(streams);
  const context: CommandContext = {
    output,
    signal,
    async client() {
      client ??= await connect(program.opts(), env);
      return client;
    },
    async writeFile(path, text) {
      await durableWrite(path, Buffer.from(text), { mode: 0o644 });
    },
  };
  const adders = [
    ...[addTeleportCommands, addDeliveredCommands, addReceiptCommand, addExportCommand],
    ...[addLookCommands, addPlaceCommands],
  ];
  for (const add of adders) add(program, () => context);
  for (const command of allCommands(program)) command.exitOverride();
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    return endWith(error, output, signal);
  } finally {
    await client?.[Symbol.asyncDispose]();
  }
}

function createProgram(streams: Streams): Command {
  return new Command('vmdn')
    .description('A virtual machine delivery network: run a VM near its users in seconds.')
    .option('--json', 'print JSON on stdout, one line for each event where there are several')
    .option('--url <url>', 'where the coordinator answers')
    .option('--token <token>', 'the token of a user (better: VMDN_TOKEN, or a client file)')
    .option('--client-file <file>', 'a file with both, readable by its owner only')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void streams.stdout.write(text),
      writeErr: (text) => void streams.stderr.write(text),
    })
    .showHelpAfterError('(add --help for more)')
    .addHelpText('after', GLOBAL_HELP);
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

async function connect(
  options: { readonly url?: string; readonly token?: string; readonly clientFile?: string },
  env: Environment,
): Promise<CoordinatorClient> {
  const { url, token } = await findConnection({
    url: options.url ?? (env.VMDN_URL || undefined),
    token: options.token ?? (env.VMDN_TOKEN || undefined),
    clientFile: options.clientFile ?? (env.VMDN_CLIENT_FILE || undefined),
    usualFiles: usualClientFiles(env),
    read: readClientFile,
  });
  return createCoordinatorClient({ url, credentials: { kind: 'bearer', token } });
}

function endWith(error: unknown, output: Output, signal: AbortSignal): number {
  if (signal.aborted) return EXIT_INTERRUPTED;
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // Commander has said it in words; a reader of JSON gets it there.
    if (output.json) output.event({ error: { code: 'invalid_input', message: error.message } });
    return EXIT_USAGE;
  }
  const shown = isVmdnError(error)
    ? error
    : new VmdnError('internal', String(error), { cause: error });
  output.error(shown);
  return exitCodeOf(shown);
}
