import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createCommandRunner } from './command-runner.ts';

const runner = createCommandRunner({ env: { GIVEN: 'yes' } });
const node = process.execPath;
const wait = { timeout: 30_000 };
// Longer than what is waited for in one test, so that it says what it waited for.
vi.setConfig({ testTimeout: 120_000 });
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-command-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** True while the process exists and is no zombie that waits for its parent. */
function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

describe('run', () => {
  test('I1: arguments arrive as they are, whatever a shell would make of them', async () => {
    const args = ['$(id)', '; echo x', "a'b", '--help', 'new\nline', ''];
    const script = 'process.stdout.write(JSON.stringify(process.argv.slice(1)))';
    const { stdout } = await runner.run(node, ['-e', script, '--', ...args], { timeoutMs: 20_000 });
    expect(JSON.parse(stdout)).toEqual(args);
    await expect(runner.run('echo', ['a\0b'], { timeoutMs: 1000 })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  test('I2: a tool sees the search path, LC_ALL=C and what it was given, nothing of ours', async () => {
    process.env.DATABASE_URL = 'postgres://secret';
    const env = { EXTRA: '1', LC_ALL: 'de_DE' };
    const { stdout } = await runner.run('env', [], { timeoutMs: 20_000, env });
    delete process.env.DATABASE_URL;
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0]);
    expect(names.sort()).toEqual(['EXTRA', 'GIVEN', 'LC_ALL', 'PATH']);
    expect(stdout).toContain('LC_ALL=C\n');
  });

  test('I4: a missing tool names the Debian package that brings it', async () => {
    const env = { PATH: directory };
    const missing = runner.run('qemu-img', [], { timeoutMs: 20_000, env });
    await expect(missing).rejects.toMatchObject({
      code: 'tool_missing',
      message: 'The program qemu-img is missing; install it with: apt-get install qemu-utils',
    });
  });

  test('I4: a failing tool is tool_failed with its last words, unless the code is an answer', async () => {
    const args = ['-c', 'for i in $(seq 99); do echo line $i >&2; done; exit 3'];
    await expect(runner.run('sh', args, { timeoutMs: 20_000 })).rejects.toMatchObject({
      code: 'tool_failed',
      data: { exitCode: 3, stderr: expect.stringMatching(/^line 92\n[\s\S]*line 99$/) },
    });
    const answered = await runner.run('sh', args, { timeoutMs: 20_000, okExitCodes: [0, 3] });
    expect(answered.exitCode).toBe(3);
  });

  test('I3: time, output and the caller’s patience are limits', async () => {
    await expect(runner.run('sleep', ['60'], { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'timeout',
    });
    const much = { timeoutMs: 20_000, maxOutputBytes: 1000 };
    await expect(runner.run('yes', [], much)).rejects.toMatchObject({ code: 'tool_failed' });
    const signal = AbortSignal.abort();
    const cancelled = runner.run('sleep', ['60'], { timeoutMs: 20_000, signal });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('standard input is what was given, empty otherwise', async () => {
    const given = await runner.run('cat', [], { timeoutMs: 20_000, input: 'hello' });
    expect(given.stdout).toBe('hello');
    expect((await runner.run('cat', [], { timeoutMs: 20_000 })).stdout).toBe('');
  });
});

describe('start', () => {
  test('a process that ends by itself says how, with its last words', async () => {
    const child = runner.start('sh', ['-c', 'echo oops >&2; exit 7'], { lifetime: 'with-parent' });
    expect(await child.exited).toEqual({ exitCode: 7, signalName: null, stderrTail: 'oops' });
  });

  test('stop ends a process, a stubborn one too, and may be called twice', async () => {
    const gentle = runner.start('sleep', ['600'], { lifetime: 'with-parent' });
    expect(await gentle.stop()).toMatchObject({ signalName: 'SIGTERM' });
    const script = 'trap "" TERM; echo ready >&2; while :; do sleep 0.05; done';
    const logPath = join(directory, 'stubborn.log');
    const stubborn = runner.start('bash', ['-c', script], { lifetime: 'with-parent', logPath });
    await vi.waitFor(() => expect(readFileSync(logPath, 'utf8')).toBe('ready\n'), wait);
    const [first, second] = await Promise.all([stubborn.stop(100), stubborn.stop(100)]);
    expect(first).toMatchObject({ signalName: 'SIGKILL' });
    expect(second).toEqual(first);
  });

  test('a missing tool is tool_missing for both lifetimes', async () => {
    for (const lifetime of ['with-parent', 'detached'] as const) {
      const child = runner.start('no-such-tool', [], { lifetime });
      await expect(child.exited).rejects.toMatchObject({ code: 'tool_missing' });
    }
  });

  test('I3: a bound process dies with a parent that was killed, a detached one does not', async () => {
    const url = JSON.stringify(new URL('./command-runner.ts', import.meta.url).href);
    const script = `
      const { createCommandRunner } = await import(${url});
      const runner = createCommandRunner();
      const bound = runner.start('sleep', ['600'], { lifetime: 'with-parent' });
      const free = runner.start('sleep', ['600'], { lifetime: 'detached' });
      process.stderr.write(JSON.stringify([bound.pid, free.pid]));
      setInterval(() => {}, 1000);`;
    const logPath = join(directory, 'parent.log');
    const args = ['--input-type=module', '-e', script];
    const parent = runner.start(node, args, { lifetime: 'with-parent', logPath });
    const [bound, free] = await vi.waitFor(
      () => JSON.parse(readFileSync(logPath, 'utf8')) as [number, number],
      wait,
    );
    // It is bound by a program that becomes the tool when it has done so: before, it would outlive us.
    const commandOfBound = (): string => readFileSync(`/proc/${bound}/cmdline`, 'utf8');
    await vi.waitFor(() => expect(commandOfBound()).toMatch(/^sleep\0/), wait);
    expect([isAlive(bound), isAlive(free)]).toEqual([true, true]);
    process.kill(parent.pid, 'SIGKILL');
    await parent.exited;
    await vi.waitFor(() => expect(isAlive(bound)).toBe(false), wait);
    expect(isAlive(free)).toBe(true);
    process.kill(free, 'SIGKILL');
  });
});

describe('filter', () => {
  const limits = { timeoutMs: 20_000, maxOutputBytes: 64 * 2 ** 20 };
  const piece = new Uint8Array(100_000).fill(7);

  async function* pieces(count: number): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < count; i += 1) yield piece;
  }

  async function lengthOf(output: AsyncIterable<Uint8Array>): Promise<number> {
    let length = 0;
    for await (const chunk of output) length += chunk.length;
    return length;
  }

  test('more than any pipe holds goes through, byte for byte', async () => {
    const hashed = Buffer.concat(
      await Array.fromAsync(runner.filter('sha256sum', [], pieces(50), limits)),
    );
    const expected = createHash('sha256').update(Buffer.alloc(5_000_000, 7)).digest('hex');
    expect(hashed.toString('utf8')).toBe(`${expected}  -\n`);
    expect(await lengthOf(runner.filter('cat', [], pieces(50), limits))).toBe(5_000_000);
    expect(await lengthOf(runner.filter('cat', [], pieces(0), limits))).toBe(0);
  });

  test('I3: time, output and the caller’s patience are limits', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield piece;
      await new Promise(() => {});
    }
    const slow = runner.filter('cat', [], endless(), { ...limits, timeoutMs: 200 });
    await expect(lengthOf(slow)).rejects.toMatchObject({ code: 'timeout' });
    const much = runner.filter('yes', [], pieces(1), { ...limits, maxOutputBytes: 1000 });
    await expect(lengthOf(much)).rejects.toMatchObject({ code: 'too_large' });
    const aborter = new AbortController();
    const cancelled = lengthOf(
      runner.filter('cat', [], endless(), { ...limits, signal: aborter.signal }),
    );
    aborter.abort();
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('I4: a tool that fails, a missing one and an input that throws are told apart', async () => {
    const failing = runner.filter(
      'sh',
      ['-c', 'echo half; echo oops >&2; exit 3'],
      pieces(9),
      limits,
    );
    await expect(lengthOf(failing)).rejects.toMatchObject({
      code: 'tool_failed',
      data: { exitCode: 3, stderr: 'oops' },
    });
    const missing = runner.filter('no-such-tool', [], pieces(9), limits);
    await expect(lengthOf(missing)).rejects.toMatchObject({ code: 'tool_missing' });
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield piece;
      throw new Error('the mirror hung up');
    }
    const starved = runner.filter('cat', [], broken(), limits);
    await expect(lengthOf(starved)).rejects.toThrow('the mirror hung up');
  });

  test('I3: a caller that stops early leaves no process behind', async () => {
    let first = '';
    const script = 'echo $$; exec cat >/dev/null';
    for await (const chunk of runner.filter('sh', ['-c', script], pieces(1000), limits)) {
      first = Buffer.from(chunk).toString('utf8');
      break;
    }
    expect(Number(first)).toBeGreaterThan(1);
    expect(isAlive(Number(first))).toBe(false);
  });

  test('I3: a filter dies with a parent that was killed', async () => {
    const url = JSON.stringify(new URL('./command-runner.ts', import.meta.url).href);
    const script = `
      const { createCommandRunner } = await import(${url});
      async function* input() { yield new Uint8Array(1); await new Promise(() => {}); }
      const options = { timeoutMs: 600_000, maxOutputBytes: 1000 };
      setInterval(() => {}, 1000);
      const args = ['-c', 'echo $$; exec sleep 600'];
      for await (const chunk of createCommandRunner().filter('sh', args, input(), options)) {
        process.stderr.write(chunk);
      }`;
    const logPath = join(directory, 'filter-parent.log');
    const args = ['--input-type=module', '-e', script];
    const parent = runner.start(node, args, { lifetime: 'with-parent', logPath });
    const pid = await vi.waitFor(() => {
      const found = Number(/^(\d+)\n/.exec(readFileSync(logPath, 'utf8'))?.[1]);
      expect(found).toBeGreaterThan(1);
      return found;
    }, wait);
    expect(isAlive(pid)).toBe(true);
    process.kill(parent.pid, 'SIGKILL');
    await parent.exited;
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), wait);
  });
});
