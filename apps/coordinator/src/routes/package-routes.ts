/**
 * Room: coordinator, routes. Recipes of package images: each operation of the contracts and the use case it
 * calls.
 */

import * as ops from '@vmdn/core/http/contracts/coordinator-packages.ts';
import { type App, mountOperation } from '@vmdn/core/http/mount.ts';
import { PACKAGE_RECIPE_BODY_BYTES_MAX } from '../limits.ts';
import type { PackageRecipes } from '../services/packages.ts';
import type { Guards } from './guard.ts';

/** Mounts what edges ask about packages. */
export function mountPackageRoutes(app: App, packages: PackageRecipes, { edge }: Guards): void {
  mountOperation(app, ops.readPackageRecipes, edge, ({ body }) => packages.read(body));
  mountOperation(
    app,
    ops.putPackageRecipe,
    edge,
    ({ params, body }, node) => packages.put(node, params, body),
    { bodyBytesMax: PACKAGE_RECIPE_BODY_BYTES_MAX },
  );
}
