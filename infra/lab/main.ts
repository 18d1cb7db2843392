/**
 * Room: infra, lab. `vmdn lab status` and `vmdn lab stop`: the network that `npm start -- --keep` left.
 */

import { parseArgs } from 'node:util';
import { findProcesses } from './processes.ts';
import { demoStateDir, readRecord, stopRecorded } from './record.ts';

const USAGE = `Usage: vmdn lab status|stop [--state-dir FOLDER]

  status   which processes of the kept network run, and how to talk to it
  stop     end all of them

FOLDER is where the network keeps its state (default: that of "npm start").
`;
const EXIT_USAGE = 64;
const EXIT_NONE = 66;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { 'state-dir': { type: 'string' }, help: { type: 'boolean' } },
    allowPositionals: true,
  });
  const [action, ...others] = positionals;
  if (values.help === true) {
    say(USAGE);
    return 0;
  }
  if ((action !== 'status' && action !== 'stop') || others.length > 0) {
    process.stderr.write(USAGE);
    return EXIT_USAGE;
  }
  const folder = values['state-dir'] ?? demoStateDir(process.env);
  const record = await readRecord(folder);
  if (record === undefined) {
    say(`No network is kept in ${folder}. To start one: npm start -- --keep`);
    return action === 'stop' ? 0 : EXIT_NONE;
  }
  if (action === 'stop') {
    const { stopped, killed } = await stopRecorded(record);
    say(
      `Processes stopped: ${stopped.length}${killed.length > 0 ? `, ${killed.length} of them killed` : ''}.`,
    );
    return 0;
  }
  const processes = await findProcesses(record.mark, record.stateDir);
  say(`network of ${record.startedAt} in ${record.stateDir}, ${processes.length} processes`);
  for (const { pid, command } of processes)
    say(`  ${String(pid).padStart(7)}  ${command.slice(0, 120)}`);
  say(`coordinator: ${record.coordinatorUrl ?? 'not started'}`);
  say(`client file: ${record.clientFile}`);
  return processes.length > 0 ? 0 : EXIT_NONE;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(
    `vmdn lab: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`,
  );
  process.exitCode = EXIT_USAGE;
}
