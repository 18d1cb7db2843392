/** Room: io. Files of a few kilobytes, read whole: tokens, passwords, certificates. */

import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError, fsyncDir, TEMP_SUFFIX } from '@vmdn/core/io/files/files.ts';

/** The text of a file, or undefined when there is none. Throws `forbidden`, `invalid_input`. */
export async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(error, path);
  }
}

/**
 * The text of a file that only we may read, made of what `make` gives if there is none. Of those that start
 * at the same moment one makes it, and all get its text: the file is whole before it has its name, and a name
 * is given once (link(2)). Throws `forbidden`, `disk_full`, `not_found` (no such directory).
 */
export async function readOrMakeSecretFile(path: string, make: () => string): Promise<string> {
  const present = await readSmallFile(path);
  if (present !== undefined) return present;
  const tempPath = join(dirname(path), `.${randomUUID()}${TEMP_SUFFIX}`);
  try {
    await writeFile(tempPath, make(), { mode: 0o600, flag: 'wx', flush: true });
    await link(tempPath, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await fsyncDir(dirname(path));
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, path);
  } finally {
    await rm(tempPath, { force: true });
  }
}

/** A certificate and its key, as PEM texts. Throws `not_found`, `forbidden`. */
export async function readTlsFiles(files: {
  readonly certificate: string;
  readonly key: string;
}): Promise<{ readonly certificate: string; readonly key: string }> {
  const read = async (path: string): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      throw fileError(error, path);
    }
  };
  return { certificate: await read(files.certificate), key: await read(files.key) };
}
