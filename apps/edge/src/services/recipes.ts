/**
 * Room: edge, services. The recipe of a wanted disk, fetched once and kept.
 *
 * I1: a recipe is kept only after it was verified against digest and keysRoot (the disk client or the
 *     outline resolver does), and used from then on without asking anybody.
 * I2: every byte that crossed for it is told, once, to whoever caused the reading, a light attempt that
 *     failed included.
 * I3: a holder that stands still costs HOLDER_STALL_MS while there is another one to ask, and is passed
 *     over for a while then (holder-breakers.ts).
 */

import { giveBack } from '@vmdn/core/domain/columns.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import { createTurns } from '@vmdn/core/domain/turns.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { RecipeFolder } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import { HOLDER_STALL_MS } from '../limits.ts';
import type { HolderBreakers } from './holder-breakers.ts';
import type { LightRecipes } from './light-recipes.ts';
import type { DiskHolder } from './remote-sources.ts';

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

interface Deps {
  readonly store: Pick<ImageStore, 'find'>;
  readonly folder: RecipeFolder;
  readonly client: Pick<DiskClient, 'readRecipe'>;
  readonly light: LightRecipes;
  readonly breakers: HolderBreakers;
  readonly events: EdgeEvents;
}

export function createRecipes(deps: Deps): Recipes {
  const turns = createTurns<string>();
  return { find: (wanted) => turns.inTurn(wanted.digest, () => find(deps, wanted)) };
}

async function find(deps: Deps, wanted: WantedRecipe): Promise<string> {
  const { digest } = wanted;
  const image = deps.store.find(digest);
  if (image !== undefined) return image.recipePath;
  const path = deps.folder.path(digest);
  if (await deps.folder.has(digest)) return path;
  let last: unknown = new VmdnError('unavailable', 'No node that holds the disk is reachable.');
  const guarded = deps.breakers.among(wanted.holders);
  for (const [i, holder] of wanted.holders.entries()) {
    const stallMs = i + 1 < wanted.holders.length ? HOLDER_STALL_MS : null;
    try {
      const read = () => readFrom(deps, wanted, holder, stallMs);
      const bytes = await guarded.guard(holder, read);
      await deps.folder.put(digest, bytes);
      giveBack(bytes);
      return path;
    } catch (error) {
      if (isVmdnError(error, 'cancelled') || isVmdnError(error, 'disk_full')) throw error;
      last = error;
    }
  }
  throw last;
}

/** `stallMs`: a holder that sends nothing for so long has failed (I3); null: it is waited for. */
async function readFrom(
  deps: Deps,
  wanted: WantedRecipe,
  holder: DiskHolder,
  stallMs: number | null,
): Promise<Uint8Array> {
  let wireBytes = 0;
  const { digest, keysRoot, recipeBytes, grant } = wanted;
  const { tier, url, node } = holder;
  using stall = watchForStall(stallMs);
  const request = {
    ...{ url, holder: node, digest, keysRoot, recipeBytes },
    signal: AbortSignal.any([wanted.signal, stall.signal]),
    onWireBytes: (bytes: number) => {
      stall.touch();
      wireBytes += bytes;
    },
  };
  try {
    const light = await deps.light.read({ ...request, grant, holderName: holder.name });
    const bytes =
      light ?? (await deps.client.readRecipe({ ...request, grant: grant() })).recipeBytes;
    deps.events.recipeFetched(digest, holder.name, wireBytes, bytes.length);
    return bytes;
  } catch (error) {
    if (!stall.signal.aborted || wanted.signal.aborted) throw error;
    throw new VmdnError('timeout', `${holder.name} sends nothing; the next holder is asked.`);
  } finally {
    if (wireBytes > 0) await wanted.onRead({ tier, wireBytes });
  }
}

interface Stall extends Disposable {
  readonly signal: AbortSignal;
  touch(): void;
}

/** A signal that fires when nobody touched it for so long; never for null. */
function watchForStall(stallMs: number | null): Stall {
  const controller = new AbortController();
  const timer = stallMs === null ? undefined : setTimeout(() => controller.abort(), stallMs);
  return {
    signal: controller.signal,
    touch: () => void timer?.refresh(),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
