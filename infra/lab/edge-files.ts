/**
 * Room: infra, lab. Where an edge keeps a delivered disk, found by its digest in the edge's state.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskFile } from './disk-proof.ts';

/** What QEMU opens of an image: a raw file, or a qcow2 on another image's raw file. */
const FORMATS = ['raw', 'qcow2'] as const;

/** The disk of an image, as QEMU opens it. Throws when the edge has none of this digest. */
export async function deliveredDisk(edgeStateDir: string, digest: string): Promise<DiskFile> {
  const entries = await readdir(edgeStateDir, { recursive: true });
  const found = FORMATS.flatMap((format) => {
    const ends = join('images', digest, `disk.${format}`);
    const paths = entries.filter((path) => path.endsWith(ends));
    return paths.map((path) => ({ path: join(edgeStateDir, path), format }));
  });
  if (found[0] !== undefined && found.length === 1) return found[0];
  throw new Error(`${found.length} images of digest ${digest} lie in ${edgeStateDir}, not one.`);
}
