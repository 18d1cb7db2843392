/**
 * Room: infra, lab. What a network that was left running looks like to whoever comes later: the
 * record beside its state, from which it is found and stopped.
 *
 * I1: the record is there from before the first process starts until after the last one ended.
 * I2: a network takes away its own record only: another may have begun in the same folder.
 */

import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stateDir } from '@vmdn/core/process/paths.ts';
import { endProcess, findProcesses, type NetworkProcess } from './processes.ts';

export interface NetworkRecord {
  /** The mark that all its processes carry. */
  readonly mark: string;
  readonly stateDir: string;
  readonly startedAt: string;
  readonly coordinatorUrl: string | null;
  readonly clientFile: string;
  /** Sockets of its guests; gone when it is stopped. */
  readonly runtimeDir: string;
}

const RECORD_NAME = 'network.json';
/** A service forces its own end after 20 s. */
const STOP_MS_MAX = 25_000;

/** Where `npm start` keeps its network. */
export function demoStateDir(env: Readonly<Record<string, string | undefined>>): string {
  return env.VMDN_DEMO_STATE_DIR || join(stateDir(env), 'demo');
}

/** Writes the record, replacing the one before. */
export async function writeRecord(record: NetworkRecord): Promise<void> {
  const path = join(record.stateDir, RECORD_NAME);
  await writeFile(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`);
  await chmod(`${path}.new`, 0o600);
  await rename(`${path}.new`, path);
}

/** The record of the network in a folder; undefined when there is none. */
export async function readRecord(folder: string): Promise<NetworkRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, RECORD_NAME), 'utf8')) as NetworkRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** How eagerly each kind of process is ended: edges before origins, the coordinator and its database last. */
function stopOrder({ command }: NetworkProcess): number {
  const order = ['/apps/edge/', '/apps/origin/', '/apps/coordinator/'];
  const index = order.findIndex((part) => command.includes(part));
  return index < 0 ? order.length : index;
}

export interface StopReport {
  readonly stopped: readonly NetworkProcess[];
  /** Those that had to be killed. */
  readonly killed: readonly NetworkProcess[];
}

/** Stops a network by its record, services first, then whatever they left; takes the record away. */
export async function stopRecorded(record: NetworkRecord): Promise<StopReport> {
  const stopped: NetworkProcess[] = [];
  const killed: NetworkProcess[] = [];
  // A service stops its own helpers: each round looks again at who is left.
  for (let order = 0; order <= 3; order += 1) {
    const round = (await findProcesses(record.mark, record.stateDir)).filter(
      (each) => stopOrder(each) <= order,
    );
    await Promise.all(
      round.map(async (each) => {
        stopped.push(each);
        if (await endProcess(each, STOP_MS_MAX)) killed.push(each);
      }),
    );
  }
  await rm(record.runtimeDir, { recursive: true, force: true });
  const there = await readRecord(record.stateDir);
  if (there?.mark === record.mark) await rm(join(record.stateDir, RECORD_NAME), { force: true });
  return { stopped, killed };
}
