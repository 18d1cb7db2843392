import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { claim } from './claim.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-claim-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('a claim of the demonstration', () => {
  it('is one’s until it is given up, and says whose', async () => {
    const stateDir = join(dir, 'deeper', 'demo');
    const first = await claim(stateDir);
    const words = new RegExp(`process ${process.pid}\\)`);
    await expect(claim(stateDir)).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringMatching(words),
    });
    await first[Symbol.asyncDispose]();
    expect(await readdir(join(dir, 'deeper'))).not.toContain('demo.owner');
    await (await claim(stateDir))[Symbol.asyncDispose]();
  });

  it('I2: is given to one of many that ask at once', async () => {
    const stateDir = join(dir, 'demo');
    const asked = await Promise.allSettled(Array.from({ length: 16 }, () => claim(stateDir)));
    const given = asked.filter((one) => one.status === 'fulfilled');
    expect(given).toHaveLength(1);
    for (const { value } of given) await value[Symbol.asyncDispose]();
  });

  it('I1: of a process that was killed binds nobody', async () => {
    const stateDir = join(dir, 'demo');
    const module = new URL('./claim.ts', import.meta.url).href;
    const script = `const { claim } = await import(${JSON.stringify(module)});
      globalThis.held = await claim(${JSON.stringify(stateDir)});
      process.stdout.write('held'); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script]);
    onTestFinished(() => void holder.kill('SIGKILL'));
    await once(holder.stdout, 'data');
    await expect(claim(stateDir)).rejects.toThrow(`process ${holder.pid}`);
    const ended = once(holder, 'exit');
    holder.kill('SIGKILL');
    await ended;
    await (await claim(stateDir))[Symbol.asyncDispose]();
  });
});
