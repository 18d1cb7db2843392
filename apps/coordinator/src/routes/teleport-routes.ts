/**
 * Room: coordinator, routes. What edges say about the teleports that they hold: each operation of the
 * contracts and the use case it calls.
 */

import * as ops from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { type App, mountOperation } from '@vmdn/core/http/mount.ts';
import type { Context } from '../services/context.ts';
import type { GrantIssuer } from '../services/grants.ts';
import { renewGrant, reportProgress } from '../services/progress.ts';
import type { Guards } from './guard.ts';

/** Mounts what edges say about teleports. */
export function mountTeleportRoutes(
  app: App,
  context: Context,
  grants: GrantIssuer,
  { edge }: Guards,
): void {
  mountOperation(app, ops.reportProgress, edge, ({ params, body }, node) =>
    reportProgress(context, node, params.teleport, body),
  );
  mountOperation(app, ops.renewGrant, edge, ({ params, body }, node) =>
    renewGrant(context, grants, node, params.teleport, body.epoch),
  );
}
