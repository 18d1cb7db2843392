/**
 * Room: io. What an embedded PostgreSQL needs before it starts: an account, its programs, a password, a
 * data directory and a place for its socket.
 *
 * I1: the data directory is complete or absent: initdb works beside its place, then it is renamed.
 * I2: nothing is made reachable for the account but the state directory itself, and that only to pass.
 */

import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { readOrMakeSecretFile } from '../small-files.ts';
import { type Account, chooseAccount, runToEnd } from './processes.ts';
import { findSoftware, type Software } from './software.ts';

/** The database's own superuser; no account of the system. */
export const USER = 'vmdn';
/** sun_path holds 108 bytes (unix(7)); the file's own name and a NUL are part of it. */
const SOCKET_DIR_BYTES_MAX = 107 - '/.s.PGSQL.5432.lock'.length;
const INITDB_TIMEOUT_MS = 120_000;
/** What a killed first start left behind is swept once nobody can be working on it any more. */
const STALE_WORK_MS = 600_000;

export interface Home {
  readonly dataDir: string;
  readonly socketDir: string;
  /** Names the process that the running server belongs to. */
  readonly ownerFile: string;
  readonly account: Account;
  readonly software: Software;
  readonly password: string;
}

/** Prepares everything, with initdb at the first start. Throws `forbidden`, `disk_full`, `tool_failed`. */
export async function prepareHome(options: {
  readonly stateDir: string;
  readonly accounts?: readonly string[] | undefined;
  readonly durable?: boolean | undefined;
}): Promise<Home> {
  const { stateDir } = options;
  const dataDir = join(stateDir, 'postgres');
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  const present = await stat(dataDir).catch(() => undefined);
  const account = await chooseAccount(present?.uid, options.accounts);
  // The account must pass through the state directory; it can't list it, and the files are 0600.
  if (account.change) await chmod(stateDir, ((await stat(stateDir)).mode & 0o7777) | 0o011);
  await requireReachable(stateDir, account);
  const software = await findSoftware(stateDir, account);
  const password = await readOrMakePassword(join(stateDir, 'postgres-password'));
  if (present === undefined)
    await initialise({ dataDir, stateDir, account, software, password }, options.durable !== false);
  const socketDir = await socketDirFor(dataDir, account);
  const ownerFile = join(stateDir, 'postgres-owner');
  return { dataDir, socketDir, ownerFile, account, software, password };
}

/** Names the first directory on the way that the account can't enter. */
async function requireReachable(dir: string, account: Account): Promise<void> {
  if (!account.change) return;
  const parts = dir.split('/').filter((part) => part !== '');
  for (let depth = 1; depth <= parts.length; depth += 1) {
    const ancestor = `/${parts.slice(0, depth).join('/')}`;
    const { code } = await runToEnd('/usr/bin/test', ['-x', ancestor], {
      account,
      timeoutMs: 10_000,
    });
    if (code === 0) continue;
    throw new VmdnError(
      'forbidden',
      `PostgreSQL runs as user ${account.name}, who can't enter ${ancestor}. Choose another state ` +
        `directory, run "chmod o+x ${ancestor}", or set DATABASE_URL.`,
      { data: { directory: ancestor, user: account.name } },
    );
  }
}

async function readOrMakePassword(path: string): Promise<string> {
  const password = await readOrMakeSecretFile(path, () => randomBytes(32).toString('base64url'));
  if (password.length >= 32) return password;
  throw new VmdnError('corrupt', `The file ${path} does not hold the database's password.`);
}

async function initialise(
  home: Omit<Home, 'socketDir' | 'ownerFile'> & { readonly stateDir: string },
  durable: boolean,
): Promise<void> {
  const { account, stateDir } = home;
  await sweep(stateDir);
  const workDir = join(stateDir, `.postgres-new-${randomUUID()}`);
  const passwordFile = `${workDir}-password`;
  try {
    await mkdir(workDir, { mode: 0o700 });
    await writeFile(passwordFile, `${home.password}\n`, { mode: 0o600 });
    if (account.change) {
      await chown(workDir, account.uid, account.gid);
      await chown(passwordFile, account.uid, account.gid);
    }
    const args = [`--pgdata=${workDir}`, `--username=${USER}`, `--pwfile=${passwordFile}`];
    args.push('--auth=scram-sha-256', '--encoding=UTF8', '--no-locale');
    if (!durable) args.push('--no-sync');
    const result = await runToEnd(home.software.initdb, args, {
      account,
      timeoutMs: INITDB_TIMEOUT_MS,
    });
    if (result.code !== 0) throw initialiseFailure(stateDir, result.stderr);
    await rename(workDir, home.dataDir).catch((error: NodeJS.ErrnoException) => {
      // Another coordinator was quicker; there can be only one, and it is complete.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(passwordFile, { force: true });
    await rm(workDir, { recursive: true, force: true });
  }
}

function initialiseFailure(stateDir: string, stderr: string): VmdnError {
  const data = { stderr: stderr.slice(-2000) };
  if (stderr.includes('No space left on device')) {
    return new VmdnError('disk_full', `There is no space for a database in ${stateDir}.`, { data });
  }
  return new VmdnError('tool_failed', `initdb could not make a database in ${stateDir}.`, { data });
}

/** Removes what a killed first start left behind, old enough that nobody works on it. */
async function sweep(stateDir: string): Promise<void> {
  for (const entry of await readdir(stateDir)) {
    if (!entry.startsWith('.postgres-')) continue;
    const path = join(stateDir, entry);
    const facts = await stat(path).catch(() => undefined);
    if (facts !== undefined && Date.now() - facts.mtimeMs > STALE_WORK_MS) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

/** The data directory itself, or a short path where that one is too long for a socket. */
async function socketDirFor(dataDir: string, account: Account): Promise<string> {
  if (Buffer.byteLength(dataDir) <= SOCKET_DIR_BYTES_MAX) return dataDir;
  const { ino, dev } = await stat(dataDir);
  const short = `/tmp/.vmdn-postgres-${account.uid}-${dev}-${ino}`;
  await mkdir(short, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const self = process.getuid?.();
  const { uid } = await stat(short);
  if (uid !== account.uid && uid !== self) {
    throw new VmdnError('forbidden', `The directory ${short} belongs to somebody else.`);
  }
  if (account.change) await chown(short, account.uid, account.gid);
  return short;
}
