/**
 * Room: http, contracts. Recipes of package images, shared through the coordinator: what one edge unpacked
 * need not be unpacked by another to be matched against.
 *
 * I1: a package recipe is a pure function of the package file and the unpacker's version; both name it. It
 *     tells what a public file contains and belongs to no project; only enrolled edges write and read it.
 * I2: it is a hint: whoever reads it checks it against its roots, and every segment against the signed
 *     recipe of the disk that is made with it.
 */

import { z } from 'zod';
import { PACKAGE_RECIPE_BYTES_MAX, PACKAGES_PER_REQUEST_MAX } from '../../domain/limits.ts';
import { defineOperation } from './operation.ts';
import { digest, nothing } from './schemas.ts';

/** Version of the unpacker: another one may lay files out in another way. */
const unpacker = z.number().int().min(1).max(65_535);
/** SHA-256 of the package file (.deb, .rpm), 64 lower-case hexadecimal digits. */
const sha256 = digest;
const sha256s = z.array(sha256).min(1).max(PACKAGES_PER_REQUEST_MAX);

/** zstd adds at most 0.4 % to what does not compress. */
const PACKED_BYTES_MAX = PACKAGE_RECIPE_BYTES_MAX * 1.01;
/** The recipe file, compressed with zstd, in base64 (formats/package-recipe.ts packs and unpacks it). */
const packedRecipe = z
  .string()
  .min(4)
  .max(Math.ceil(PACKED_BYTES_MAX / 3) * 4);

export const readPackageRecipes = defineOperation({
  id: 'readPackageRecipes',
  method: 'post',
  path: '/v1/packages/recipes',
  summary: 'Recipes of packages, up to 8 MiB of them; ask again for those that are `left`.',
  caller: 'edge',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object({ unpacker, sha256s }),
  reply: z.object({
    recipes: z.array(z.object({ sha256, digest, keysRoot: digest, recipe: packedRecipe })),
    /** Known, but beyond what one answer holds. At least one recipe comes with each answer. */
    left: z.array(sha256),
  }),
});

export const putPackageRecipe = defineOperation({
  id: 'putPackageRecipe',
  method: 'put',
  path: '/v1/packages/{unpacker}/{sha256}',
  summary: "A package image's recipe; the first one stays, and another digest is a conflict.",
  caller: 'edge',
  status: 200,
  params: z.object({ unpacker: z.coerce.number().pipe(unpacker), sha256 }),
  query: nothing,
  body: z.object({ digest, keysRoot: digest, recipe: packedRecipe }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const PACKAGE_OPERATIONS = [readPackageRecipes, putPackageRecipe] as const;
