/**
 * Room: http, clients. Package recipes as an edge uses them: in questions of bounded size, verified on
 * arrival.
 *
 * I1: a recipe is handed out only when it has the roots that it was given with; the caller decides
 *     whether those are the ones that it wants.
 */

import type { Digest } from '../../domain/digest.ts';
import { VmdnError } from '../../domain/errors.ts';
import { PACKAGES_PER_REQUEST_MAX } from '../../domain/limits.ts';
import {
  packPackageRecipe,
  type UnpackedRecipe,
  unpackPackageRecipe,
} from '../../formats/package-recipe.ts';
import { putPackageRecipe, readPackageRecipes } from '../contracts/coordinator-packages.ts';
import type { CoordinatorClient } from './coordinator-client.ts';

type Client = Pick<CoordinatorClient, 'call'>;

/** Which packages: SHA-256 of each file, and the version of the unpacker that is asked for. */
export interface PackageQuestion {
  readonly unpacker: number;
  readonly sha256s: readonly Digest[];
  readonly signal?: AbortSignal | undefined;
}

export interface PackageRecipe extends UnpackedRecipe {
  readonly sha256: Digest;
  readonly digest: Digest;
  readonly keysRoot: Digest;
}

function* portions(sha256s: readonly Digest[]): Generator<Digest[]> {
  const unique = [...new Set(sha256s)];
  for (let at = 0; at < unique.length; at += PACKAGES_PER_REQUEST_MAX) {
    yield unique.slice(at, at + PACKAGES_PER_REQUEST_MAX);
  }
}

/**
 * Yields the recipes that are known, verified. One that does not verify is left out and told to
 * `onRefused`. Throws what a call throws.
 */
export async function* fetchPackageRecipes(
  client: Client,
  question: PackageQuestion & { readonly onRefused?: (sha256: Digest, error: unknown) => void },
): AsyncGenerator<PackageRecipe> {
  const { unpacker, signal } = question;
  for (const portion of portions(question.sha256s)) {
    for (let asked = portion; asked.length > 0; ) {
      const body = { unpacker, sha256s: asked };
      const reply = await client.call(readPackageRecipes, { body, signal });
      for (const { sha256, digest, keysRoot, recipe } of reply.recipes) {
        const unpacked = await unpackPackageRecipe(Buffer.from(recipe, 'base64'), {
          digest,
          keysRoot,
        }).catch((error: unknown) => void question.onRefused?.(sha256, error));
        if (unpacked !== undefined) yield { sha256, digest, keysRoot, ...unpacked };
      }
      if (reply.left.length >= asked.length) {
        throw new VmdnError('incompatible_protocol', 'The coordinator sends no package recipes.');
      }
      asked = reply.left;
    }
  }
}

/** Shares the recipe of a package that this edge unpacked. Throws `conflict`, `too_large`, … */
export async function sharePackageRecipe(
  client: Client,
  shared: {
    readonly unpacker: number;
    readonly sha256: Digest;
    readonly digest: Digest;
    readonly keysRoot: Digest;
    /** The recipe file. */
    readonly file: Uint8Array;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const { unpacker, sha256, digest, keysRoot, file, signal } = shared;
  const recipe = Buffer.from(await packPackageRecipe(file)).toString('base64');
  const body = { digest, keysRoot, recipe };
  await client.call(putPackageRecipe, { params: { unpacker, sha256 }, body, signal });
}
