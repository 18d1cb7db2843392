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
  // No other folder is read: in those that an edge works in, files come and go.
  const dir = join(edgeStateDir, 'store', 'images', digest);
  const files = await readdir(dir);
  const [format, ...more] = FORMATS.filter((each) => files.includes(`disk.${each}`));
  if (format !== undefined && more.length === 0)
    return { path: join(dir, `disk.${format}`), format };
  throw new Error(`In ${dir} lies no disk, or more than one.`);
}
