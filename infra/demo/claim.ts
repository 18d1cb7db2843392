/**
 * Room: infra, demo. One demonstration at a time: they share a state folder.
 *
 * I1: a claim whose process is gone, however it ended, binds nobody.
 * I2: of those who claim at the same moment one gets it. The kernel decides (owner-lock.ts); what the file
 *     beside the lock says is for words only.
 */

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import { takeOwnerLock } from '@vmdn/core/io/files/owner-lock.ts';

/** Claims the state folder for this process until disposed. Throws `busy` when somebody else has it. */
export async function claim(stateDir: string): Promise<AsyncDisposable> {
  const path = `${stateDir}.owner`;
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  const lock = await lockOf(path);
  try {
    await writeFile(path, String(process.pid), { mode: 0o600 });
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return {
    async [Symbol.asyncDispose]() {
      await rm(path, { force: true });
      lock[Symbol.dispose]();
    },
  };
}

async function lockOf(path: string): Promise<Disposable> {
  try {
    return takeOwnerLock(`${path}.lock`, 0);
  } catch (error) {
    if (!isVmdnError(error, 'conflict')) throw error;
    const pid = await readFile(path, 'utf8').catch(() => '');
    const who = /^\d+$/.test(pid) ? pid : 'unknown';
    throw new VmdnError(
      'busy',
      `Another "npm start" runs (process ${who}): wait for it, or stop it.`,
    );
  }
}
