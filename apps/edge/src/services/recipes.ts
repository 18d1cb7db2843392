/**
 * Room: edge, services. The recipe of a wanted disk, fetched once and kept.
 *
 * I1: a recipe is kept only after it was verified against digest and keysRoot (the disk client does),
 *     and used from then on without asking anybody.
 * I2: every byte that crossed for it is told, once, to whoever caused the reading.
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
  /** Called with what crossed for it, also in a reading that failed, before the recipe is kept. */
  readonly onRead: (cost: RecipeCost) => Promise<void>;
}

/** What crossed the network for a recipe. */
export interface RecipeCost {
  readonly tier: 'peer' | 'origin';
  readonly wireBytes: number;
}

export interface Recipes {
  /**
   * The path of the recipe's file. Throws what the last holder said when none gives it, `unavailable`
   * when there is none.
   */
  find(wanted: WantedRecipe): Promise<string>;
}

export function createRecipes(deps: {
  readonly store: Pick<ImageStore, 'find'>;
  readonly folder: RecipeFolder;
  readonly client: Pick<DiskClient, 'readRecipe'>;
  readonly events: EdgeEvents;
}): Recipes {
  const turns = createTurns();
  const readFrom = async (holder: DiskHolder, wanted: WantedRecipe): Promise<Uint8Array> => {
    const { digest, keysRoot, recipeBytes, signal } = wanted;
    const { url, node, tier } = holder;
    const of = { url, holder: node, digest, keysRoot, recipeBytes, grant: wanted.grant(), signal };
    let wireBytes = 0;
    const onWireBytes = (bytes: number): void => {
      wireBytes += bytes;
    };
    try {
      const reply = await deps.client.readRecipe({ ...of, onWireBytes });
      deps.events.recipeFetched(digest, holder.name, wireBytes);
      return reply.recipeBytes;
    } finally {
      if (wireBytes > 0) await wanted.onRead({ tier, wireBytes });
    }
  };
  const find = async (wanted: WantedRecipe): Promise<string> => {
    const { digest } = wanted;
    const image = deps.store.find(digest);
    if (image !== undefined) return image.recipePath;
    const path = deps.folder.path(digest);
    if (await deps.folder.has(digest)) return path;
    let last: unknown = new VmdnError('unavailable', 'No node that holds the disk is reachable.');
    for (const holder of wanted.holders) {
      try {
        await deps.folder.put(digest, await readFrom(holder, wanted));
        return path;
      } catch (error) {
        if (isVmdnError(error, 'cancelled') || isVmdnError(error, 'disk_full')) throw error;
        last = error;
      }
    }
    throw last;
  };
  return { find: (wanted) => turns.inTurn(wanted.digest, () => find(wanted)) };
}
