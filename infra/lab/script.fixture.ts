/**
 * Room: infra, lab (tests). What becomes of things when their process is killed is seen with another process.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

/**
 * Runs a module in a process of its own, and waits until it has printed something. Throws, with what it said,
 * when it ends before. It ends with the test at the latest.
 */
export async function startScript(script: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script]);
  onTestFinished(() => void child.kill('SIGKILL'));
  let words = '';
  child.stderr.on('data', (chunk) => {
    words += String(chunk);
  });
  const ended = once(child, 'close').then(() => {
    throw new Error(`The script has ended: ${words}`);
  });
  await Promise.race([once(child.stdout, 'data'), ended]);
  ended.catch(() => undefined);
  return child;
}
