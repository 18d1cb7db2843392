/**
 * Room: infra, demo. One demonstration at a time: they share a state folder.
 *
 * I1: a claim whose process is gone, however it ended, binds nobody.
 */

import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { identify, isAlive, type ProcessIdentity } from '../lab/processes.ts';

const ATTEMPTS_MAX = 3;

async function ownerOf(path: string): Promise<ProcessIdentity | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text === '' ? undefined : (JSON.parse(text) as ProcessIdentity);
}

/** Claims the state folder for this process until disposed. Throws `busy` when somebody else has it. */
export async function claim(stateDir: string): Promise<AsyncDisposable> {
  const path = `${stateDir}.owner`;
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(JSON.stringify(await identify(process.pid)));
      await file.close();
      return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = await ownerOf(path);
    if (owner !== undefined && (await isAlive(owner))) break;
    await rm(path, { force: true });
  }
  const owner = await ownerOf(path);
  throw new VmdnError(
    'busy',
    `Another "npm start" runs (process ${owner?.pid ?? 'unknown'}): wait for it, or stop it.`,
  );
}
