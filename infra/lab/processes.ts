/**
 * Room: infra, lab. Processes as the kernel knows them: who still runs, who belongs to which
 * network, and how to end them.
 *
 * I1: a process is its id and its start time: an id that was given to somebody else is never signalled.
 * I2: whoever a network started, directly or not, carries its mark in the environment it was started
 *     with; the sweep finds those and nobody else.
 */

import { readdir, readFile } from 'node:fs/promises';
import { waitFor } from './wait-for.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start: field 22 of /proc/PID/stat, proc(5). */
  readonly startTicks: number;
}

/** The environment variable that marks what a network started. */
export const MARK_VARIABLE = 'VMDN_LAB';

const START_TICKS_FIELD = 22;
const STATE_FIELD = 3;
const KILL_WAIT_MS = 10_000;

/** Field `number` of /proc/PID/stat, counted from 1 as in proc(5); the name in field 2 may hold anything. */
function statField(stat: string, number: number): string {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[number - 3] ?? '';
}

async function readStat(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    return statField(stat, STATE_FIELD) === 'Z' ? undefined : stat;
  } catch {
    return undefined;
  }
}

/** The identity of a process that runs now; undefined when there is none (or only a zombie). */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readStat(pid);
  if (stat === undefined) return undefined;
  return { pid, startTicks: Number(statField(stat, START_TICKS_FIELD)) };
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

/** A process that carries a mark, and its command line. */
export interface MarkedProcess extends ProcessIdentity {
  readonly command: string;
}

/** All processes that carry the mark of a network. */
export async function findMarked(mark: string): Promise<MarkedProcess[]> {
  const wanted = `${MARK_VARIABLE}=${mark}`;
  const found: MarkedProcess[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const environment = await readFile(`/proc/${entry}/environ`, 'latin1');
      if (!environment.split('\0').includes(wanted)) continue;
      const identity = await identify(Number(entry));
      if (identity === undefined) continue;
      const words = (await readFile(`/proc/${entry}/cmdline`, 'latin1')).split('\0');
      found.push({ ...identity, command: words.join(' ').trim() });
    } catch {
      // It ended meanwhile, or belongs to somebody else: not ours in either case.
    }
  }
  return found;
}
