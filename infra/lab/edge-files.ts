/**
 * Room: infra, lab. Where an edge keeps a delivered disk, found by its digest in the edge's state.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** The raw file of an image. Throws when the edge has none of this digest. */
export async function deliveredDiskPath(edgeStateDir: string, digest: string): Promise<string> {
  const entries = await readdir(edgeStateDir, { recursive: true });
  const found = entries.filter((path) => path.endsWith(join('images', digest, 'disk.raw')));
  if (found.length === 1) return join(edgeStateDir, found[0] ?? '');
  throw new Error(`${found.length} images of digest ${digest} lie in ${edgeStateDir}, not one.`);
}
