/**
 * Room: io, store (tests). Small disks and their recipes, ready to be adopted.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../domain/digest.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import { keysRootOfRecipe } from '../../formats/key-pages.ts';
import { referenceRecipe, seededBytes } from '../../formats/recipe.fixture.ts';
import { encodeRecipe } from '../../formats/recipe.ts';
import type { Adoption, ImageStore } from '../ports/image-store.ts';

/** A disk with some zero blocks, a zero segment and a short last block. */
export function testDisk(seed: string): Buffer {
  const disk = Buffer.from(seededBytes(seed, 5 * 65_536 + 1536));
  disk.fill(0, 65_536, 2 * 65_536);
  disk.fill(0, 3 * 65_536 + 4096, 3 * 65_536 + 12_288);
  return disk;
}

/** Lays a disk and its recipe in the store's staging, as the sync engine leaves them. */
export async function stageDisk(
  store: Pick<ImageStore, 'stagingDir'>,
  disk: Buffer,
): Promise<Adoption & { digest: Digest }> {
  const recipe = referenceRecipe(disk);
  const digest = digestOfRecipe(recipe);
  const stagingDir = store.stagingDir(digest);
  await mkdir(stagingDir, { recursive: true });
  await writeFile(join(stagingDir, 'disk.raw'), disk);
  await writeFile(join(stagingDir, 'recipe'), encodeRecipe(recipe));
  await writeFile(join(stagingDir, 'bitmap'), 'the engine keeps its own files here');
  const keysRoot = keysRootOfRecipe(recipe) as unknown as Digest;
  return { stagingDir, digest, keysRoot, name: null, kind: 'snapshot' };
}
