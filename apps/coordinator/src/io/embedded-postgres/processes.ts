/**
 * Room: io. Starts PostgreSQL's programs: as an unprivileged account where this process is root
 * (they refuse to run as root), in a session of their own, and never outliving this process.
 *
 * I1: a program started here gets SIGINT (PostgreSQL's fast, clean stop) from the kernel when this
 *     process dies, even by SIGKILL (prctl(2) PR_SET_PDEATHSIG, set by util-linux's setpriv).
 * I2: a terminal's Ctrl-C reaches the coordinator only; it stops the server itself, last.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { VmdnError } from '@vmdn/core/domain/errors.ts';

/** Who runs the server. `change` is false when this process already is that user. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly change: boolean;
}

/**
 * Accounts to run as when this process is root, best first. `postgres` where the distribution made
 * it; `daemon` and `nobody` exist on every Debian. Not a bare number: initdb wants an account.
 */
const UNPRIVILEGED = ['postgres', 'daemon', 'nobody'] as const;

/** Where setpriv is on any Debian. */
const SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin';

/** Output that is kept for the error when a program fails. */
const KEPT_OUTPUT_CHARACTERS = 8192;

async function accounts(): Promise<Account[]> {
  const passwd = await readFile('/etc/passwd', 'utf8');
  return passwd
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4)
    .map(([name, , uid, gid]) => ({
      name: name!,
      uid: Number(uid),
      gid: Number(gid),
      change: true,
    }));
}

/**
 * Chooses who runs the server. An existing data directory decides (`ownerUid`): a `postgres` that
 * is created later must not change the owner of the data. Throws `forbidden`, `tool_missing`.
 */
export async function chooseAccount(
  ownerUid: number | undefined,
  preferred: readonly string[] = UNPRIVILEGED,
): Promise<Account> {
  const self = process.getuid?.() ?? -1;
  const known = await accounts();
  if (self !== 0) {
    if (ownerUid !== undefined && ownerUid !== self) {
      throw new VmdnError(
        'forbidden',
        'The embedded database belongs to another user; start the coordinator as that user.',
        { data: { ownerUid, uid: self } },
      );
    }
    const name = known.find((account) => account.uid === self)?.name ?? String(self);
    return { name, uid: self, gid: process.getgid?.() ?? self, change: false };
  }
  const owner = known.find((account) => account.uid === ownerUid && account.uid !== 0);
  const chosen =
    owner ?? preferred.flatMap((name) => known.find((account) => account.name === name) ?? [])[0];
  if (chosen !== undefined && chosen.uid !== 0) return chosen;
  throw new VmdnError(
    'tool_missing',
    'PostgreSQL does not run as root, and none of these accounts exists: ' +
      `${preferred.join(', ')}. Create one, or set DATABASE_URL.`,
  );
}

/** Number and start time: together they name one process for as long as the machine runs (proc(5)). */
async function processMark(pid: number): Promise<string | undefined> {
  const facts = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = facts.slice(facts.lastIndexOf(')') + 2).split(' ');
  // Field 3 is the state, field 22 the start time; Z is dead, though nobody waited for it yet.
  return facts === '' || fields[0] === 'Z' ? undefined : `${pid} ${fields[19]}`;
}

/** Notes that the server belongs to this process. */
export async function writeOwner(path: string): Promise<void> {
  await writeFile(path, (await processMark(process.pid)) ?? '', { mode: 0o600 });
}

/** Whether another process that runs has noted that the server belongs to it. */
export async function hasLivingOwner(path: string): Promise<boolean> {
  const noted = await readFile(path, 'utf8').catch(() => '');
  const pid = Number.parseInt(noted, 10);
  return Number.isInteger(pid) && (await processMark(pid)) === noted;
}

interface StartOptions {
  readonly account: Account;
  readonly onOutput?: (text: string) => void;
}

/** Starts a program as `account`. The caller waits for it and stops it. */
export function start(
  program: string,
  args: readonly string[],
  options: StartOptions,
): ChildProcess {
  const { account } = options;
  const identity = account.change
    ? ['--reuid', String(account.uid), '--regid', String(account.gid), '--clear-groups']
    : [];
  const child = spawn('setpriv', ['--pdeathsig', 'INT', ...identity, '--', program, ...args], {
    cwd: '/',
    // Nothing of our environment: PGDATA or LD_PRELOAD of the operator's shell are not meant for it.
    env: { LC_ALL: 'C', PATH: SEARCH_PATH, TZ: 'UTC' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => options.onOutput?.(text));
  }
  return child;
}

/** Resolves with how a child ended; rejects with `tool_missing` when it could not be started. */
export function ended(
  child: ChildProcess,
): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('error', (cause) => {
      const message = 'The program setpriv (Debian: util-linux) is missing; install it.';
      reject(new VmdnError('tool_missing', message, { cause }));
    });
  });
}

/** Runs a program to its end, killed after `timeoutMs`. */
export async function runToEnd(
  program: string,
  args: readonly string[],
  options: { readonly account: Account; readonly timeoutMs: number },
): Promise<{ code: number | null; stderr: string }> {
  let output = '';
  const child = start(program, args, {
    account: options.account,
    onOutput: (text) => {
      output = (output + text).slice(-KEPT_OUTPUT_CHARACTERS);
    },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
  try {
    const { code } = await ended(child);
    return { code, stderr: output };
  } finally {
    clearTimeout(timer);
  }
}
