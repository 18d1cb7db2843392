/**
 * Room: io, hashing. Describes a disk whose top layer was written to above an image that is described
 * already: only what the top layer holds is read.
 *
 * I1: the result is that of describing the whole disk, provided that what lies below is the image.
 * I2: a segment that the top layer holds any part of is read whole, what it made zero counts as zero.
 */

import type { Recipe } from '../../domain/recipe.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import { keysRootOfRecipe } from '../../formats/key-pages.ts';
import { CONTEXT_DEPTH } from '../../formats/nbd.ts';
import { recipeOver } from '../../formats/recipe-over.ts';
import { connectNbd } from '../nbd/nbd-client.ts';
import { type DescribeDiskOptions, type DiskDescription, describeDisk } from './describe-disk.ts';
import { mustRead, readTopMap } from './read-map.ts';

type Changes = Pick<DiskDescription, 'recipe' | 'digest' | 'keysRoot' | 'readBytes'>;

/**
 * `below`: the recipe of what lies below the top layer; null: nobody knows, and all is read. Throws as
 * `describeDisk`.
 */
export async function describeChanges(
  options: Omit<DescribeDiskOptions, 'within' | 'findsFree'>,
  below: Recipe | null,
): Promise<Changes> {
  const isOfSize = below?.virtualSizeBytes === options.virtualSizeBytes;
  const top = isOfSize ? await topMap(options) : null;
  if (below === null || top === null) return await describeDisk(options);
  const { recipe: above, readBytes } = await describeDisk({ ...options, within: top });
  const recipe = recipeOver(below, above, (segment) => mustRead(top, segment));
  return { recipe, digest: digestOfRecipe(recipe), keysRoot: keysRootOfRecipe(recipe), readBytes };
}

async function topMap({
  socketPath,
  signal,
}: Pick<DescribeDiskOptions, 'socketPath' | 'signal'>): Promise<Uint8Array | null> {
  const client = await connectNbd({ socketPath, signal, context: CONTEXT_DEPTH });
  try {
    return await readTopMap(client);
  } finally {
    await client.close();
  }
}
