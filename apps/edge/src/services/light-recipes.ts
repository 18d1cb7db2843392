/**
 * Room: edge, services. A recipe that travels lightly: its outline, what the recipes that are here know of
 * it, and from the holder only the rows that they do not know (docs/formats/recipe-outline.md).
 *
 * I1: what comes out was verified against digest and keysRoot (the resolver does). Whatever else goes
 *     wrong here costs bytes: the recipe is fetched whole from the same holder, and the reason is logged.
 * I2: it is tried only where it can pay: some recipe is here, and the wanted one is not small.
 * I3: a holder that is away, slow or unwilling is not asked twice: the next one is.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { type ErrorCode, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskClient, RecipeRequest } from '@vmdn/core/http/clients/disk-client.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import type { OutlineResolver } from '@vmdn/core/io/ports/outline-resolver.ts';
import type { RecipeFolder } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import { RECIPES_SEARCHED_MAX, WHOLE_RECIPE_BYTES_MAX } from '../limits.ts';

export interface LightRequest extends Omit<RecipeRequest, 'grant' | 'signal'> {
  /** Asked for each request: a grant may be renewed between two. */
  readonly grant: () => string;
  readonly holderName: string;
  readonly signal: AbortSignal;
}

export interface LightRecipes {
  /**
   * The verified recipe file; null where it should be fetched whole from this holder. Throws what says
   * that this holder can not be asked now, and `cancelled`.
   */
  read(request: LightRequest): Promise<Uint8Array | null>;
}

/** What would befall the whole recipe as well. */
const HOLDER_CODES: readonly ErrorCode[] = [
  'cancelled',
  'unavailable',
  'timeout',
  'busy',
  'withdrawn',
  'unauthenticated',
  'forbidden',
  'quota_exceeded',
];

interface Deps {
  readonly store: Pick<ImageStore, 'list'>;
  readonly folder: Pick<RecipeFolder, 'digests' | 'path'>;
  readonly partialImages: () => Promise<
    readonly { readonly digest: Digest; readonly recipePath: string }[]
  >;
  readonly client: Pick<DiskClient, 'readOutline' | 'readRows'>;
  readonly resolver: OutlineResolver;
  readonly events: EdgeEvents;
}

export function createLightRecipes(deps: Deps): LightRecipes {
  let fallbacks = 0;
  return {
    async read(request) {
      const { digest, recipeBytes, holderName } = request;
      if (recipeBytes !== undefined && recipeBytes <= WHOLE_RECIPE_BYTES_MAX) return null;
      const recipePaths = await knownRecipes(deps);
      if (recipePaths.length === 0) return null;
      try {
        return await complete(deps, request, recipePaths);
      } catch (error) {
        if (HOLDER_CODES.some((code) => isVmdnError(error, code))) throw error;
        fallbacks += 1;
        deps.events.recipeFellBack(digest, holderName, fallbacks, error);
        return null;
      }
    },
  };
}

/**
 * Recipes of images, of disks in the making, and kept ones: in this order, because the bytes
 * of an image were verified here, and a kept recipe is only what its signer says.
 */
async function knownRecipes(deps: Deps): Promise<readonly string[]> {
  const paths = new Map<Digest, string>();
  const add = (digest: Digest, path: string): void => {
    if (paths.size < RECIPES_SEARCHED_MAX && !paths.has(digest)) paths.set(digest, path);
  };
  for (const { digest, recipePath, kind } of deps.store.list()) {
    // A package's files lie at other places within their segments than on any disk.
    if (kind !== 'package') add(digest, recipePath);
  }
  for (const { digest, recipePath } of await deps.partialImages()) add(digest, recipePath);
  for (const digest of await deps.folder.digests()) add(digest, deps.folder.path(digest));
  return [...paths.values()];
}

async function complete(
  deps: Deps,
  { grant, holderName, keysRoot, recipeBytes, ...rest }: LightRequest,
  recipePaths: readonly string[],
): Promise<Uint8Array> {
  const { client, resolver, events } = deps;
  const { digest, signal } = rest;
  const request = { ...rest, recipeBytes };
  const outline = await client.readOutline({ ...request, grant: grant() });
  const question = { outline: outline.bytes, recipePaths, recipeBytes, signal };
  const resolved = await resolver.resolve(question);
  const { runs, rowsBytes } = resolved;
  events.recipeOutlined(digest, holderName, resolved.rows, resolved.missingRows);
  const rows =
    runs.length === 0 ? null : await client.readRows({ ...rest, grant: grant(), runs, rowsBytes });
  const promised = { digest, keysRoot };
  return await resolver.complete(resolved, rows?.bytes ?? null, promised, signal);
}
