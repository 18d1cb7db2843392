/**
 * Room: io. What the coordinator keeps in its state directory for the users of this machine: the first
 * client token, and the file by which the CLI finds the coordinator.
 *
 * I1: both files are 0600 from the moment they exist, and never seen in part.
 * I2: coordinators that start at the same moment have one token.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import {
  CLIENT_FILE_NAME,
  type ClientFile,
  writeClientFile,
} from '@vmdn/core/io/files/client-file.ts';
import { readOrMakeSecretFile } from './small-files.ts';

/**
 * The token in `<stateDir>/client-token`; `make` gives one that is written there if there is none. Throws
 * `corrupt`, `forbidden`, `disk_full`.
 */
export async function readOrMakeClientToken(stateDir: string, make: () => string): Promise<string> {
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  const path = join(stateDir, 'client-token');
  const token = (await readOrMakeSecretFile(path, () => `${make()}\n`)).trim();
  if (token !== '') return token;
  throw new VmdnError('corrupt', `The file ${path} is empty; remove it, and start again.`);
}

/** Writes `<stateDir>/client.json`, which the CLI reads. */
export async function writeClientFileIn(stateDir: string, client: ClientFile): Promise<void> {
  await writeClientFile(join(stateDir, CLIENT_FILE_NAME), client);
}
