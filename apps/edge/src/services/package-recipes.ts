/**
 * Room: edge, services. Recipes of packages that are not here: what each would cover is known before it is
 * fetched. They come from the coordinator, where whoever unpacked a package first shared its recipe.
 *
 * I1: a recipe is kept only when it has the roots that it came with; it is a hint all the same.
 * I2: a package of which nobody knows a recipe is not asked for again before a while has passed.
 * I3: sharing and asking are best effort: a coordinator that is away stops nothing.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { PACKAGE_UNPACKER_VERSION } from '@vmdn/core/formats/package-recipe.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import {
  fetchPackageRecipes,
  sharePackageRecipe,
} from '@vmdn/core/http/clients/package-recipes.ts';
import type { StoredImage } from '@vmdn/core/io/ports/image-store.ts';
import type { RecipeFiles } from '@vmdn/core/io/ports/recipe-files.ts';
import type { RecipeFolder, Records } from '@vmdn/core/io/ports/records.ts';
import type { EdgeEvents } from '../events.ts';
import { PACKAGE_RECIPES_ASKED_AGAIN_MS, PACKAGES_REMEMBERED_MAX } from '../limits.ts';

/** The image of a package file, by the file's SHA-256. */
export interface PackageImageRecord {
  readonly unpacker: number;
  readonly digest: Digest;
  readonly keysRoot: Digest;
}

export interface PackageRecipes {
  /** Paths of recipe files by SHA-256 of the package file, of those that are known. Throws `cancelled`. */
  find(sha256s: readonly Digest[], signal: AbortSignal): Promise<ReadonlyMap<Digest, string>>;
  /** Tells others what this edge unpacked. Throws `cancelled`. */
  share(sha256: Digest, image: StoredImage, signal: AbortSignal): Promise<void>;
}

interface Deps {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly records: Records<PackageImageRecord>;
  readonly folder: RecipeFolder;
  readonly files: RecipeFiles;
  readonly events: EdgeEvents;
}

export function createPackageRecipes(deps: Deps): PackageRecipes {
  /** When a recipe that nobody knew was asked for (performance.now). */
  const unknownSinceMs = new Map<Digest, number>();
  return {
    async find(sha256s, signal) {
      const paths = new Map<Digest, string>();
      const asked: Digest[] = [];
      for (const sha256 of sha256s) {
        const path = await pathHere(deps, sha256);
        if (path !== null) paths.set(sha256, path);
        else if (isWorthAsking(unknownSinceMs.get(sha256))) asked.push(sha256);
      }
      if (asked.length === 0) return paths;
      try {
        await fetchAll(deps, asked, paths, signal);
        for (const sha256 of asked) if (!paths.has(sha256)) note(unknownSinceMs, sha256);
      } catch (error) {
        signal.throwIfAborted();
        deps.events.packageRecipesAway(error);
      }
      return paths;
    },
    async share(sha256, image, signal) {
      try {
        const { digest, keysRoot } = image;
        const file = await readAll(deps.files, image.recipePath);
        const unpacker = PACKAGE_UNPACKER_VERSION;
        await sharePackageRecipe(deps.client, { unpacker, sha256, digest, keysRoot, file, signal });
      } catch (error) {
        signal.throwIfAborted();
        deps.events.packageRecipesAway(error);
      }
    },
  };
}

async function pathHere({ records, folder }: Deps, sha256: Digest): Promise<string | null> {
  const record = await records.read(sha256);
  if (record === null || record.unpacker !== PACKAGE_UNPACKER_VERSION) return null;
  return (await folder.has(record.digest)) ? folder.path(record.digest) : null;
}

async function fetchAll(
  { client, records, folder, events }: Deps,
  sha256s: readonly Digest[],
  paths: Map<Digest, string>,
  signal: AbortSignal,
): Promise<void> {
  const unpacker = PACKAGE_UNPACKER_VERSION;
  const onRefused = (sha256: Digest, error: unknown): void => {
    events.packageRecipeRefused(sha256, error);
  };
  for await (const found of fetchPackageRecipes(client, { unpacker, sha256s, signal, onRefused })) {
    const { sha256, digest, keysRoot, file } = found;
    await folder.put(digest, file);
    await records.write(sha256, { unpacker, digest, keysRoot });
    paths.set(sha256, folder.path(digest));
  }
}

function isWorthAsking(sinceMs: number | undefined): boolean {
  return sinceMs === undefined || performance.now() - sinceMs > PACKAGE_RECIPES_ASKED_AGAIN_MS;
}

function note(unknownSinceMs: Map<Digest, number>, sha256: Digest): void {
  if (unknownSinceMs.size >= PACKAGES_REMEMBERED_MAX) unknownSinceMs.clear();
  unknownSinceMs.set(sha256, performance.now());
}

async function readAll(files: RecipeFiles, path: string): Promise<Uint8Array> {
  const file = await files.open(path);
  try {
    const pieces: Uint8Array[] = [];
    for await (const piece of file.read(0, file.sizeBytes)) pieces.push(piece);
    return Buffer.concat(pieces);
  } finally {
    await file.close();
  }
}
