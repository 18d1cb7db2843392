/**
 * Room: edge, services. The recipe of a wanted disk, fetched once and kept.
 *
 * I1: a recipe is kept only after it was verified against digest and keysRoot (the disk client does),
 *     and used from then on without asking anybody.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { RecipeFolder } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import type { DiskHolder } from './remote-sources.ts';
import { createTurns } from './turns.ts';

export interface WantedRecipe {
  readonly digest: Digest;
  readonly keysRoot: Digest;
  /** Length of the file, where a signed description tells it. */
  readonly recipeBytes?: number | undefined;
  readonly holders: readonly DiskHolder[];
  readonly grant: () => string;
  readonly signal: AbortSignal;
}

export interface FoundRecipe {
  readonly path: string;
  /** What it cost; null when it was here already. */
  readonly fetched: { readonly tier: 'peer' | 'origin'; readonly wireBytes: number } | null;
}

export interface Recipes {
  /** Throws what the last holder said when none gives it, `unavailable` when there is none. */
  find(wanted: WantedRecipe): Promise<FoundRecipe>;
}

export function createRecipes(deps: {
  readonly store: Pick<ImageStore, 'find'>;
  readonly folder: RecipeFolder;
  readonly client: Pick<DiskClient, 'readRecipe'>;
  readonly events: EdgeEvents;
}): Recipes {
  const turns = createTurns();
  const find = async (wanted: WantedRecipe): Promise<FoundRecipe> => {
    const { digest } = wanted;
    const image = deps.store.find(digest);
    if (image !== undefined) return { path: image.recipePath, fetched: null };
    const path = deps.folder.path(digest);
    if (await deps.folder.has(digest)) return { path, fetched: null };
    let last: unknown = new VmdnError('unavailable', 'No node that holds the disk is reachable.');
    for (const holder of wanted.holders) {
      try {
        const { grant, signal, keysRoot, recipeBytes } = wanted;
        const { url, node } = holder;
        const request = {
          url,
          holder: node,
          digest,
          keysRoot,
          recipeBytes,
          grant: grant(),
          signal,
        };
        const reply = await deps.client.readRecipe(request);
        await deps.folder.put(digest, reply.recipeBytes);
        deps.events.recipeFetched(digest, holder.name, reply.wireBytes);
        return { path, fetched: { tier: holder.tier, wireBytes: reply.wireBytes } };
      } catch (error) {
        if (isVmdnError(error, 'cancelled') || isVmdnError(error, 'disk_full')) throw error;
        last = error;
      }
    }
    throw last;
  };
  return { find: (wanted) => turns.inTurn(wanted.digest, () => find(wanted)) };
}
