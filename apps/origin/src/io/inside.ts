/**
 * Room: origin, io. Files that lie where the operator allowed it.
 *
 * I1: symbolic links are followed before anything is compared: what leads out is refused.
 */

import { realpath, stat } from 'node:fs/promises';
import { sep } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { fileError } from '@vmdn/core/io/files/files.ts';

/**
 * The real path of a regular file within one of `roots`, which are real paths. Throws `not_found`,
 * `forbidden`.
 */
export async function requireInside(roots: readonly string[], path: string): Promise<string> {
  try {
    const real = await realpath(path);
    if (!roots.some((root) => real.startsWith(root + sep))) {
      throw new VmdnError(
        'forbidden',
        `${path} leads out of ${roots.join(' and ')}; move or copy the disk into it.`,
        {
          data: { path },
        },
      );
    }
    if (!(await stat(real)).isFile()) {
      throw new VmdnError('forbidden', `${path} is not a regular file.`, { data: { path } });
    }
    return real;
  } catch (error) {
    throw fileError(error, path);
  }
}
