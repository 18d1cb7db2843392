/** Room: io. Files of a few kilobytes, read whole: tokens, certificates. */

import { readFile } from 'node:fs/promises';
import { fileError } from '@vmdn/core/io/files/files.ts';

/** The text of a file, or undefined when there is none. Throws `forbidden`, `invalid_input`. */
export async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(error, path);
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
