/**
 * Room: infra, lab. Processes as the kernel knows them: who still runs, who belongs to which
 * network, and how to end them.
 *
 * I1: a process is its id and its start time: an id that was given to somebody else is never signalled.
 * I2: a network's services carry its mark in their environment. The tools they start get a clean one:
 *     QEMU, a database, an export are known by a file of the network's state that they have open or
 *     were given. Nobody else is touched, least of all an editor or a pager that looks at a log.
 */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { markProcess, type ProcessMark } from '@vmdn/core/io/command/process-mark.ts';
import { waitFor } from './wait-for.ts';

export type ProcessIdentity = Pick<ProcessMark, 'pid' | 'startTicks'>;

/** The environment variable that marks what a network started. */
export const MARK_VARIABLE = 'VMDN_LAB';

const KILL_WAIT_MS = 10_000;

/** The identity of a process that runs now; undefined when there is none (or only a zombie). */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const mark = await markProcess(pid);
  return mark === null ? undefined : { pid, startTicks: mark.startTicks };
}

/** Whether it is still the same process that runs under this id. */
export async function isAlive({ pid, startTicks }: ProcessIdentity): Promise<boolean> {
  return (await identify(pid))?.startTicks === startTicks;
}

/** Sends a signal, if the process is still the one meant. */
export async function signalProcess(
  process_: ProcessIdentity,
  signal: NodeJS.Signals,
): Promise<void> {
  if (!(await isAlive(process_))) return;
  try {
    process.kill(process_.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Ends a process: SIGTERM, and SIGKILL when it is not gone in time. Returns whether it had to be killed. */
export async function endProcess(process_: ProcessIdentity, graceMs: number): Promise<boolean> {
  const gone = async (): Promise<boolean> => !(await isAlive(process_));
  await signalProcess(process_, 'SIGTERM');
  try {
    await waitFor(`process ${process_.pid} is gone`, gone, { timeoutMs: graceMs, intervalMs: 25 });
    return false;
  } catch {
    await signalProcess(process_, 'SIGKILL');
    await waitFor(`process ${process_.pid} is gone`, gone, {
      timeoutMs: KILL_WAIT_MS,
      intervalMs: 25,
    });
    return true;
  }
}

/** A process that belongs to a network, and its command line. */
export interface NetworkProcess extends ProcessIdentity {
  readonly command: string;
}

/** Programs that services start and that may outlive them. */
const TOOLS =
  /^(qemu-(system-\w+|nbd|img|storage-daemon|io)|nbd(kit|copy|fuse)|postgres|initdb|setpriv)$/;

/** The paths of what a process has open; empty when it may not be looked at. */
async function openPaths(pid: string): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => []);
  return Promise.all(descriptors.map((each) => readlink(`${folder}/${each}`).catch(() => '')));
}

async function belongsTo(
  pid: string,
  command: string,
  mark: string,
  stateDir: string,
): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  if (environment.split('\0').includes(`${MARK_VARIABLE}=${mark}`)) return true;
  if (!TOOLS.test(basename(command.split(' ')[0] ?? ''))) return false;
  if (command.includes(`${stateDir}/`)) return true;
  return (await openPaths(pid)).some((path) => path.startsWith(`${stateDir}/`));
}

/** All processes of the network with this mark, whose state lies below `stateDir`. */
export async function findProcesses(mark: string, stateDir: string): Promise<NetworkProcess[]> {
  const found: NetworkProcess[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const words = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    const command = words.split('\0').join(' ').trim();
    if (command === '' || !(await belongsTo(pid, command, mark, stateDir))) continue;
    const identity = await identify(Number(pid));
    if (identity !== undefined) found.push({ ...identity, command });
  }
  return found;
}
