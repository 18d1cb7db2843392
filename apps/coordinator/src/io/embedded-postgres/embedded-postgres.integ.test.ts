import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { query, quiet } from '../../testing/test-database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';

const isRoot = process.getuid?.() === 0;

let stateDir: string;

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmdn-test-embedded-'));
});
afterEach(() => rm(stateDir, { recursive: true, force: true }));

function start(
  options: { stateDir?: string; accounts?: readonly string[]; durable?: boolean } = {},
): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ stateDir, logger: quiet, durable: false, ...options });
}

/** Whether a process runs; a dead one that nobody waited for doesn't. */
async function isAlive(pid: number): Promise<boolean> {
  const facts = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return facts !== '' && !facts.slice(facts.lastIndexOf(')') + 2).startsWith('Z');
}

/** A process of its own that starts the database and then hangs. */
async function startElsewhere(): Promise<{ child: ChildProcess; pid: number }> {
  const script = join(import.meta.dirname, 'start-and-hang.fixture.ts');
  const child = spawn(process.execPath, [script, stateDir], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [pid] = (await once(child, 'message')) as [number];
  return { child, pid };
}

describe('the embedded PostgreSQL', () => {
  it('listens on no TCP port and lets nobody in without its password (I1)', async () => {
    await using postgres = await start();
    const { host } = postgres.address;
    const rows = await query<{ name: string; setting: string }>(
      postgres.address,
      "select name, setting from pg_settings where name in ('listen_addresses', 'unix_socket_permissions')",
    );
    expect(rows).toEqual([
      { name: 'listen_addresses', setting: '' },
      { name: 'unix_socket_permissions', setting: '0700' },
    ]);
    const methods = await query<{ auth_method: string }>(
      postgres.address,
      'select distinct auth_method from pg_hba_file_rules',
    );
    expect(methods).toEqual([{ auth_method: 'scram-sha-256' }]);
    const wrong = new pg.Client({ ...postgres.address, password: 'guessed' });
    await expect(wrong.connect()).rejects.toThrow('password authentication failed');
    expect((await stat(join(stateDir, 'postgres-password'))).mode & 0o777).toBe(0o600);
    expect(host.startsWith(stateDir)).toBe(true);
    expect((await stat(join(stateDir, 'postgres'))).mode & 0o777).toBe(0o700);
  });

  it('keeps its data over a stop and a start', async () => {
    // As in production, with every fsync.
    const first = await start({ durable: true });
    await query(first.address, 'create table kept as select 42 as answer');
    await first[Symbol.asyncDispose]();
    expect(await isAlive(first.pid)).toBe(false);
    await using second = await start();
    expect(await query(second.address, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('dies with a process that is killed, and the next one finds the data (I2)', async () => {
    const { child, pid } = await startElsewhere();
    expect(await isAlive(pid)).toBe(true);
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    // While its owner lives the database is refused, as it should be.
    await exited;
    // At once: the killed one's server may still be ending.
    await using next = await start();
    expect(next.pid).not.toBe(pid);
    await vi.waitFor(async () => expect(await isAlive(pid)).toBe(false), { timeout: 30_000 });
    expect(await query(next.address, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('starts again by itself when it is killed (I3)', async () => {
    await using postgres = await start();
    const { pid } = postgres;
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(
      async () => {
        expect(await query(postgres.address, 'select 1 as one')).toEqual([{ one: 1 }]);
        expect(postgres.pid).not.toBe(pid);
      },
      { timeout: 30_000, interval: 50 },
    );
  });

  it.each([
    ['a process that is no more', async () => 2 ** 22 + 1],
    ['another program with that number', async (other: ChildProcess) => other.pid],
  ])('is not stopped by a lock file of %s', async (_, pidOf) => {
    await (await start())[Symbol.asyncDispose]();
    const other = spawn('tail', ['-f', '/dev/null'], { stdio: 'ignore' });
    try {
      const path = join(stateDir, 'postgres', 'postmaster.pid');
      await writeFile(path, `${await pidOf(other)}\n${join(stateDir, 'postgres')}\n`);
      await using again = await start();
      expect(await query(again.address, 'select 1 as one')).toEqual([{ one: 1 }]);
    } finally {
      other.kill();
    }
  });

  it('refuses a state directory that another coordinator uses, and leaves that one alone', async () => {
    const { child, pid } = await startElsewhere();
    try {
      await expect(start()).rejects.toMatchObject({ code: 'conflict' });
      expect(await isAlive(pid)).toBe(true);
    } finally {
      child.kill('SIGKILL');
      await vi.waitFor(async () => expect(await isAlive(pid)).toBe(false), { timeout: 30_000 });
    }
  });

  it('is made once when two start at the same moment, and leaves no half-made one', async () => {
    const both = await Promise.allSettled([start(), start()]);
    const running = both.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const refused = both.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    expect(running).toHaveLength(1);
    expect(refused).toMatchObject([{ code: 'conflict' }]);
    expect((await readdir(stateDir)).sort()).toEqual([
      'postgres',
      'postgres-owner',
      'postgres-password',
    ]);
    await running[0]![Symbol.asyncDispose]();
  });

  it('finds a short place for its socket when the path is too long for one', async () => {
    const long = join(stateDir, 'x'.repeat(100));
    await chmod(stateDir, 0o711);
    await mkdir(long);
    await using postgres = await start({ stateDir: long });
    expect(postgres.address.host.startsWith(long)).toBe(false);
    expect(await query(postgres.address, 'select 1 as one')).toEqual([{ one: 1 }]);
    await rm(postgres.address.host, { recursive: true, force: true });
  });
});

describe.runIf(isRoot)('as root, the embedded PostgreSQL', () => {
  it('runs as an account that exists, also where there is no postgres', async () => {
    await using postgres = await start({ accounts: ['no-such-account', 'daemon'] });
    expect((await stat(join(stateDir, 'postgres'))).uid).toBe(1);
    const status = await readFile(`/proc/${postgres.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t1\t1\t1\t1$/m);
    expect(status).toMatch(/^Groups:\t *$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
  });

  it('keeps the account that its data belongs to', async () => {
    await (await start({ accounts: ['daemon'] }))[Symbol.asyncDispose]();
    await using again = await start({ accounts: ['nobody'] });
    expect(await query(again.address, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect((await stat(join(stateDir, 'postgres'))).uid).toBe(1);
  });

  it('says which directory its account can’t enter', async () => {
    const inner = join(stateDir, 'inner');
    await mkdir(inner, { mode: 0o700 });
    await expect(start({ stateDir: inner })).rejects.toMatchObject({
      code: 'forbidden',
      data: { directory: stateDir },
    });
  });

  it('says so when no account is there at all', async () => {
    await expect(start({ accounts: ['no-such-account'] })).rejects.toMatchObject({
      code: 'tool_missing',
    });
  });
});
