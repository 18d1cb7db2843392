/**
 * Room: infra, demo. `npm start`: from nothing to real virtual machines, delivered near their users.
 *
 * I1: exit code 0 means that every check held; anything else is 1, or 130 after Ctrl-C.
 */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Network } from '../lab/network.ts';
import { demoStateDir } from '../lab/record.ts';
import { claim } from './claim.ts';
import { runDemo } from './demo.ts';
import { createJournal } from './journal.ts';
import { type DemoReport, reportText } from './report.ts';

const USAGE = `Usage: npm start [-- [--keep] [--json]]

Starts a coordinator, an origin and three edges on this machine, teleports real guests, proves and
boots them, and reports where every byte came from. Then it stops everything.

  --keep   leave the network running and say how to use it
  --json   the report as one JSON document on stdout
`;
const EXIT_USAGE = 64;
const EXIT_INTERRUPTED = 130;

function keptText({ coordinator, clientFilePath }: Network, report: DemoReport): string {
  const sites = report.teleports.map(({ vm, edge, url }) => `  ${vm} on ${edge}: ${url}`);
  return [
    '',
    'The network stays up.',
    ...sites,
    '',
    `  coordinator:  ${coordinator.service.url}`,
    `  client file:  ${clientFilePath}  (the CLI finds it by itself)`,
    '',
    '  node bin/vmdn.mjs edges',
    '  node bin/vmdn.mjs plan web-01 --near tokyo',
    '  node bin/vmdn.mjs teleport web-01 --near tokyo',
    '  node bin/vmdn.mjs stats',
    '',
    'To stop it:  node bin/vmdn.mjs lab stop',
  ].join('\n');
}

function wordsFor(error: unknown): string {
  if (isVmdnError(error)) return `${error.message} (${error.code})`;
  return error instanceof Error ? (error.stack ?? error.message) : describeError(error);
}

async function main(args: readonly string[]): Promise<number> {
  const options = {
    keep: { type: 'boolean' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  } as const;
  const { values } = parseArgs({ args: [...args], options });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const json = values.json === true;
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => stop.abort(new Error(`interrupted by ${signal}`)));
  }
  const stateDir = demoStateDir(process.env);
  const journal = createJournal({ json });
  try {
    await using _claim = await claim(stateDir);
    const context = { journal, stateDir, signal: stop.signal, keep: values.keep === true };
    const { report, network } = await runDemo(context);
    process.stdout.write(
      json ? `${JSON.stringify(report, null, 2)}\n` : `\n${reportText(report)}\n`,
    );
    const kept = context.keep && report.isGood;
    if (kept) (json ? process.stderr : process.stdout).write(`${keptText(network, report)}\n`);
    return report.isGood ? 0 : 1;
  } catch (error) {
    if (stop.signal.aborted) {
      journal.say('interrupted; everything that was started is stopped');
      return EXIT_INTERRUPTED;
    }
    process.stderr.write(`\nnpm start: ${wordsFor(error)}\nLogs: ${join(stateDir, 'logs')}\n`);
    return 1;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(
    `npm start: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`,
  );
  process.exitCode = EXIT_USAGE;
}
