import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { hasEnded, markProcess } from './process-mark.ts';

/** exit(2), which ends one thread: of x86-64 and of the others (asm-generic). */
const SYS_EXIT = process.arch === 'x64' ? 60 : 93;

test('I2: a process whose first thread has ended lives as long as the others do', async () => {
  const script = `use threads; threads->create(sub { sleep }); syscall(${SYS_EXIT}, 0);`;
  const child = spawn('perl', ['-e', script], { stdio: 'ignore' });
  const gone = once(child, 'exit');
  const pid = child.pid!;
  try {
    const state = async () => (await readFile(`/proc/${pid}/stat`, 'latin1')).split(') ')[1]?.[0];
    await expect.poll(state, { timeout: 15_000 }).toBe('Z');
    expect(await readFile(`/proc/${pid}/cmdline`, 'latin1')).toBe('');
    const mark = await markProcess(pid);
    expect(mark).toMatchObject({ pid, name: 'perl' });
    expect(await hasEnded(mark!)).toBe(false);
    child.kill('SIGKILL');
    await gone;
    expect(await hasEnded(mark!)).toBe(true);
  } finally {
    child.kill('SIGKILL');
  }
});

test('I1: another process of the same number is another one', async () => {
  const ours = await markProcess(process.pid);
  expect(await hasEnded(ours!)).toBe(false);
  expect(await hasEnded({ ...ours!, startTicks: 1 })).toBe(true);
});

test('a process that never was has no mark', async () => {
  expect(await markProcess(2 ** 30)).toBeNull();
});
