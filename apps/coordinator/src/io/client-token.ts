/**
 * Room: io. What the coordinator keeps in its state directory for the users of this machine: the first
 * client token, and the file by which the CLI finds the coordinator.
 *
 * I1: both files are 0600 from the moment they exist and are replaced whole.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CLIENT_FILE_NAME,
  type ClientFile,
  writeClientFile,
} from '@vmdn/core/io/files/client-file.ts';
import { durableWrite } from '@vmdn/core/io/files/durable-write.ts';
import { readSmallFile } from './small-files.ts';

/** The token in `<stateDir>/client-token`; `make` gives one that is written there if there is none. */
export async function readOrMakeClientToken(stateDir: string, make: () => string): Promise<string> {
  await mkdir(stateDir, { recursive: true, mode: 0o711 });
  const path = join(stateDir, 'client-token');
  const present = (await readSmallFile(path))?.trim() ?? '';
  if (present !== '') return present;
  const token = make();
  await durableWrite(path, Buffer.from(`${token}\n`), { mode: 0o600 });
  return token;
}

/** Writes `<stateDir>/client.json`, which the CLI reads. */
export async function writeClientFileIn(stateDir: string, client: ClientFile): Promise<void> {
  await writeClientFile(join(stateDir, CLIENT_FILE_NAME), client);
}
