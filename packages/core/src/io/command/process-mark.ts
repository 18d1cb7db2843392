/**
 * Room: io, command. Processes that are not our children: whether one still runs.
 *
 * I1: a number that was given to another process since is not taken for the one that was meant.
 * I2: a process that ends has not ended while one of its threads lives: its command line and its state say so
 *     long before the locks of its files and its ports are free.
 */

import { readFile } from 'node:fs/promises';

/** A process, by its number and when it started (clock ticks since the machine did). */
export interface ProcessMark {
  readonly pid: number;
  readonly startTicks: number;
  /** Of its program, 15 characters at most; known until the very end. */
  readonly name: string;
}

/** proc(5), stat: after the name come fields 3 and on: the state, ..., threads (20), start (22). */
const STAT = /^\d+ \((.*)\) (\S)(?: \S+){16} (\d+) \S+ (\d+) /s;

/** The process that has this number now; null when there is none, or it has ended. Never rejects. */
export async function markProcess(pid: number): Promise<ProcessMark | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  const [, name, state, threads, startTicks] = STAT.exec(text) ?? [];
  if (name === undefined || startTicks === undefined) return null;
  // I2: the thread that a process began with may be a zombie before the others.
  const hasEnded = (state === 'Z' || state === 'X') && Number(threads) <= 1;
  return hasEnded ? null : { pid, startTicks: Number(startTicks), name };
}

/** Never rejects. */
export async function hasEnded({ pid, startTicks }: ProcessMark): Promise<boolean> {
  return (await markProcess(pid))?.startTicks !== startTicks;
}
