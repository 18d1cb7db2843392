/**
 * Room: io. A real PostgreSQL of our own, for whoever gives no DATABASE_URL.
 *
 * I1: it listens on a unix socket only, and every connection needs the random password that lies in
 *     a file which only this user reads; nothing is ever trusted.
 * I2: the server never outlives this process (processes.ts, I1); what a killed one left behind is
 *     waited for or cleared away at the next start, and the data is kept.
 * I3: a server that ends by itself is started again, with growing pauses.
 */

import type { ChildProcess } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import pg from 'pg';
import { type Home, prepareHome, USER } from './home.ts';
import { ended, hasLivingOwner, start, writeOwner } from './processes.ts';

/** How to connect; what `pg` takes. */
export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface EmbeddedPostgres extends AsyncDisposable {
  readonly address: DatabaseAddress;
  /** The server's process. */
  readonly pid: number;
}

export interface EmbeddedPostgresOptions {
  /** Absolute; the data goes to `<stateDir>/postgres`. */
  readonly stateDir: string;
  readonly logger: Logger;
  /** Accounts to run as when this process is root. */
  readonly accounts?: readonly string[];
  /** False for tests: the data survives a kill of the server, not a power cut. */
  readonly durable?: boolean;
}

const DATABASE = 'vmdn';
/** Only names the socket file; nothing listens on TCP. */
const PORT = 5432;
/** Crash recovery of a database as small as ours; far beyond what was ever seen. */
const READY_TIMEOUT_MS = 120_000;
/** How long a killed coordinator's server may take to stop cleanly. */
const PREDECESSOR_TIMEOUT_MS = 20_000;
const POLL_MS = 25;
const STOP_TIMEOUT_MS = 10_000;
const RESTART_PAUSE_LONGEST_MS = 30_000;

const SETTINGS = [
  'listen_addresses=',
  'unix_socket_permissions=0700',
  'max_connections=100',
  'shared_buffers=64MB',
  'logging_collector=off',
  'log_min_messages=warning',
];

/** Starts it; resolves when it answers. Throws `conflict`, `tool_failed`, `disk_full`, `forbidden`. */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const home = await prepareHome(options);
  const address = {
    host: home.socketDir,
    port: PORT,
    user: USER,
    password: home.password,
    database: DATABASE,
  };
  const server = createServer(home, options);
  await server.start();
  try {
    await createDatabase(address);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    address,
    get pid() {
      return server.pid();
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

interface Server {
  start(): Promise<void>;
  stop(): Promise<void>;
  pid(): number;
}

function createServer(home: Home, options: EmbeddedPostgresOptions): Server {
  const { logger } = options;
  const stopping = new AbortController();
  let running: RunningServer | undefined;
  let supervision: Promise<void> = Promise.resolve();

  const supervise = async (): Promise<void> => {
    let pauseMs = 500;
    while (!stopping.signal.aborted) {
      const startedAt = Date.now();
      const exit = await running?.exited;
      if (stopping.signal.aborted) return;
      logger.error({ event: 'database_ended', ...exit }, 'the database ended; starting it again');
      if (Date.now() - startedAt > RESTART_PAUSE_LONGEST_MS) pauseMs = 500;
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      pauseMs = Math.min(pauseMs * 2, RESTART_PAUSE_LONGEST_MS);
      if (stopping.signal.aborted) return;
      running = await startOnce(home, options, stopping.signal).catch((error) => {
        logger.error({ err: error }, describeError(error));
        return undefined;
      });
    }
  };

  return {
    async start() {
      running = await startOnce(home, options, stopping.signal);
      supervision = supervise();
    },
    async stop() {
      stopping.abort();
      await supervisedStop(running);
      await supervision;
      await supervisedStop(running);
    },
    pid: () => running?.child.pid ?? 0,
  };
}

interface RunningServer {
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
}

async function supervisedStop(server: RunningServer | undefined): Promise<void> {
  if (server === undefined) return;
  const done = server.exited.then(() => true);
  // Fast, then immediate (recovered at the next start), then by force.
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    server.child.kill(signal);
    const patience = new AbortController();
    const late = sleep(STOP_TIMEOUT_MS, false, { signal: patience.signal }).catch(() => false);
    const stopped = await Promise.race([done, late]);
    patience.abort();
    if (stopped) return;
  }
}

async function startOnce(
  home: Home,
  options: EmbeddedPostgresOptions,
  signal: AbortSignal,
): Promise<RunningServer> {
  const deadline = Date.now() + PREDECESSOR_TIMEOUT_MS;
  for (;;) {
    let output = '';
    const child = start(home.software.postgres, serverArguments(home, options), {
      account: home.account,
      onOutput: (text) => {
        output = (output + text).slice(-8192);
        options.logger.debug({ event: 'database_output' }, text.trimEnd());
      },
    });
    const exited = ended(child);
    const ready = await Promise.race([
      exited.then(() => false),
      untilReady(home, { child, exited }, signal),
    ]);
    if (ready) {
      await writeOwner(home.ownerFile);
      return { child, exited };
    }
    await supervisedStop({ child, exited });
    signal.throwIfAborted();
    const predecessor = await predecessorOf(home, output);
    const isHopeless = predecessor === 'none' || predecessor === 'owned';
    if (isHopeless || Date.now() > deadline) throw startFailure(home, output);
    await sleep(POLL_MS * 8, undefined, { signal });
  }
}

function serverArguments(home: Home, options: EmbeddedPostgresOptions): string[] {
  const settings = [...SETTINGS, `unix_socket_directories=${home.socketDir}`];
  if (options.durable === false) settings.push('fsync=off', 'full_page_writes=off');
  const flags = settings.flatMap((setting) => ['-c', setting]);
  return ['-D', home.dataDir, '-p', String(PORT), ...flags];
}

/** Resolves true once the server takes connections, false when it is time to give up. */
async function untilReady(
  home: Home,
  server: RunningServer,
  signal: AbortSignal,
): Promise<boolean> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let gone = false;
  const end = (): void => {
    gone = true;
  };
  server.exited.then(end, end);
  while (!gone && !signal.aborted && Date.now() < deadline) {
    // The last line of postmaster.pid is the postmaster's own word (miscadmin.h, PM_STATUS_READY).
    const lines = (await readPidFile(home)).split('\n');
    const isOurs = Number(lines[0]) === server.child.pid;
    if (isOurs && lines[7]?.trim() === 'ready' && !gone) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function readPidFile(home: Home): Promise<string> {
  return await readFile(join(home.dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
}

/**
 * Why a start was refused: `owned` by another coordinator that runs; `stopping` while a killed one's
 * server still ends; `cleared` when the lock file named a process that is no server of this directory (a
 * number used again); else `none`.
 */
async function predecessorOf(
  home: Home,
  output: string,
): Promise<'owned' | 'stopping' | 'cleared' | 'none'> {
  if (output.includes('postmaster.pid') && (await hasLivingOwner(home.ownerFile))) return 'owned';
  if (output.includes('shared memory block')) return 'stopping';
  if (!output.includes('postmaster.pid')) return 'none';
  const pid = Number((await readPidFile(home)).split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0) return 'stopping';
  const argv = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const facts = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // A dead process that nobody waits for still has a number, and PostgreSQL takes it for alive.
  const isZombie = facts.slice(facts.lastIndexOf(')') + 2).startsWith('Z');
  if (!isZombie && (argv === '' || argv.split('\0').includes(home.dataDir))) return 'stopping';
  await rm(join(home.dataDir, 'postmaster.pid'), { force: true });
  return 'cleared';
}

function startFailure(home: Home, output: string): VmdnError {
  const data = { output: output.slice(-2000), directory: home.dataDir };
  if (output.includes('postmaster.pid')) {
    return new VmdnError(
      'conflict',
      `Another coordinator runs on ${home.dataDir}. Stop it, choose another state directory, or let ` +
        'both share one PostgreSQL by DATABASE_URL.',
      { data },
    );
  }
  if (output.includes('No space left on device')) {
    return new VmdnError('disk_full', `There is no space for the database in ${home.dataDir}.`, {
      data,
    });
  }
  return new VmdnError('tool_failed', `PostgreSQL did not start on ${home.dataDir}.`, { data });
}

async function createDatabase(address: DatabaseAddress): Promise<void> {
  const client = new pg.Client({ ...address, database: 'postgres' });
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}
