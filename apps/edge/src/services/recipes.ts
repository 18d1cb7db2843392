/**
 * Room: edge, services. The recipe of a wanted disk, fetched once and kept.
 *
 * I1: a recipe is kept only after it was verified against digest and keysRoot (the disk client or the
 *     outline resolver does), and used from then on without asking anybody.
 * I2: what it cost is all that the holder sent for it, a light attempt that failed included.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { RecipeFolder } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import type { LightRecipes } from './light-recipes.ts';
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

interface Deps {
  readonly store: Pick<ImageStore, 'find'>;
  readonly folder: RecipeFolder;
  readonly client: Pick<DiskClient, 'readRecipe'>;
  readonly light: LightRecipes;
  readonly events: EdgeEvents;
}

export function createRecipes(deps: Deps): Recipes {
  const turns = createTurns();
  return { find: (wanted) => turns.inTurn(wanted.digest, () => find(deps, wanted)) };
}

async function find(deps: Deps, wanted: WantedRecipe): Promise<FoundRecipe> {
  const { digest } = wanted;
  const image = deps.store.find(digest);
  if (image !== undefined) return { path: image.recipePath, fetched: null };
  const path = deps.folder.path(digest);
  if (await deps.folder.has(digest)) return { path, fetched: null };
  let last: unknown = new VmdnError('unavailable', 'No node that holds the disk is reachable.');
  for (const holder of wanted.holders) {
    try {
      const wireBytes = await fetchFrom(deps, wanted, holder);
      return { path, fetched: { tier: holder.tier, wireBytes } };
    } catch (error) {
      if (isVmdnError(error, 'cancelled') || isVmdnError(error, 'disk_full')) throw error;
      last = error;
    }
  }
  throw last;
}

/** Puts the recipe into the folder; returns what it cost. */
async function fetchFrom(deps: Deps, wanted: WantedRecipe, holder: DiskHolder): Promise<number> {
  let wireBytes = 0;
  const { digest, keysRoot, recipeBytes, signal } = wanted;
  const request = {
    ...{ url: holder.url, holder: holder.node, digest, keysRoot, recipeBytes, signal },
    onWireBytes: (bytes: number) => {
      wireBytes += bytes;
    },
  };
  const light = await deps.light.read({ ...request, grant: wanted.grant, holderName: holder.name });
  const bytes =
    light ?? (await deps.client.readRecipe({ ...request, grant: wanted.grant() })).recipeBytes;
  await deps.folder.put(digest, bytes);
  deps.events.recipeFetched(digest, holder.name, wireBytes, bytes.length);
  return wireBytes;
}
