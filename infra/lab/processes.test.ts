import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endProcess, findProcesses, identify, isAlive, MARK_VARIABLE } from './processes.ts';
import { stopRecorded } from './record.ts';
import { waitFor } from './wait-for.ts';

const children: ChildProcess[] = [];
let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-lab-test-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** Starts a program that waits, and waits until it runs. */
async function start(
  program: string,
  args: string[],
  env: Record<string, string> = {},
  stdin?: number,
) {
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: [stdin ?? 'ignore', 'ignore', 'ignore'],
  });
  children.push(child);
  await once(child, 'spawn');
  const identity = await waitFor('it runs', () => identify(child.pid ?? -1), { timeoutMs: 5000 });
  return { child, identity };
}

describe('a process', () => {
  it('I1: is not the one that got its number later', async () => {
    const { identity } = await start('sleep', ['60']);
    expect(await isAlive(identity)).toBe(true);
    const impostor = { pid: identity.pid, startTicks: identity.startTicks - 1 };
    expect(await isAlive(impostor)).toBe(false);
    await endProcess(impostor, 1000);
    expect(await isAlive(identity)).toBe(true);
  });

  it('ends on request, and is killed when it does not listen', async () => {
    const { identity } = await start('sleep', ['60']);
    expect(await endProcess(identity, 5000)).toBe(false);
    expect(await isAlive(identity)).toBe(false);
    const deaf = await start('bash', ['-c', 'trap "" TERM; read -r < <(tail -f /dev/null)']);
    const ignoresTerm = async () => {
      const status = await readFile(`/proc/${deaf.identity.pid}/status`, 'utf8');
      return (Number.parseInt(/^SigIgn:\t.*(\w{4})$/m.exec(status)?.[1] ?? '', 16) & 0x4000) !== 0;
    };
    await waitFor('the trap is set', ignoresTerm, { timeoutMs: 5000 });
    expect(await endProcess(deaf.identity, 200)).toBe(true);
    expect(await isAlive(deaf.identity)).toBe(false);
  });
});

describe('I2: the processes of a network', () => {
  it('are those with its mark, and tools that have its files open or were given them', async () => {
    const stateDir = join(folder, 'net');
    const mark = randomUUID();
    await mkdir(stateDir);
    const file = await open(join(stateDir, 'overlay.qcow2'), 'w+');
    // A tool is known by its name; sleep plays it.
    const tool = join(folder, 'qemu-system-x86_64');
    await symlink('/usr/bin/sleep', tool);
    const marked = await start('sleep', ['61'], { [MARK_VARIABLE]: mark });
    const other = await start('sleep', ['62'], { [MARK_VARIABLE]: randomUUID() });
    const holding = await start(tool, ['63'], {}, file.fd);
    const idle = await start(tool, ['64']);
    const pager = await start('sleep', ['65'], {}, file.fd);
    await file.close();
    const found = (await findProcesses(mark, stateDir)).map(({ pid }) => pid);
    expect(found.sort()).toEqual([marked.identity.pid, holding.identity.pid].sort());
    await mkdir(join(folder, 'logs'));
    const clientFile = join(stateDir, 'coordinator/client.json');
    const record = {
      mark,
      stateDir,
      startedAt: '',
      coordinatorUrl: null,
      clientFile,
      runtimeDir: join(folder, 'run'),
    };
    const { stopped, killed } = await stopRecorded(record);
    expect(stopped).toHaveLength(2);
    expect(killed).toEqual([]);
    expect(await findProcesses(mark, stateDir)).toEqual([]);
    for (const { identity } of [other, idle, pager]) expect(await isAlive(identity)).toBe(true);
  });
});

describe('waiting', () => {
  it('returns what the probe found', async () => {
    let looks = 0;
    const probe = () => {
      looks += 1;
      return looks === 3 ? 'there' : undefined;
    };
    expect(await waitFor('it is there', probe, { timeoutMs: 5000, intervalMs: 1 })).toBe('there');
  });

  it('says what it waited for and what it saw last', async () => {
    const probe = () => {
      throw new Error('connection refused');
    };
    await expect(
      waitFor('the port answers', probe, { timeoutMs: 20, intervalMs: 5 }),
    ).rejects.toThrow(/until the port answers; last seen: connection refused/);
  });

  it('stops when waiting is pointless', async () => {
    const watch = () => {
      throw new Error('the service ended');
    };
    await expect(waitFor('x', () => false, { timeoutMs: 60_000, watch })).rejects.toThrow(
      'the service ended',
    );
  });
});
