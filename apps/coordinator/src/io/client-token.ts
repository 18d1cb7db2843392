/**
 * Room: io. The first client token and the file by which the CLI finds the coordinator.
 *
 * I1: both files are 0600 from the moment they exist and are replaced whole.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

async function writeSecret(path: string, text: string): Promise<void> {
  const unfinished = `${path}.${randomUUID()}.tmp`;
  const file = await open(unfinished, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  const dir = await open(dirname(path), 'r');
  await dir.sync().finally(() => dir.close());
}

/** The token in `<stateDir>/client-token`; `make` gives one that is written there if there is none. */
export async function readOrMakeClientToken(stateDir: string, make: () => string): Promise<string> {
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  const path = join(stateDir, 'client-token');
  const present = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  if (present.trim() !== '') return present.trim();
  const token = make();
  await writeSecret(path, `${token}\n`);
  return token;
}

/** Writes `<stateDir>/client.json`, which the CLI reads. */
export async function writeClientFile(
  stateDir: string,
  client: { readonly url: string; readonly token: string },
): Promise<void> {
  await writeSecret(join(stateDir, 'client.json'), `${JSON.stringify(client, null, 2)}\n`);
}
