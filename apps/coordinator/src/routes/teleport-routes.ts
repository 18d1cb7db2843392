/**
 * Room: coordinator, routes. What edges say about the teleports that they hold: each operation of the
 * contracts and the use case it calls.
 */

import * as ops from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { type App, mountOperation } from '@vmdn/core/http/mount.ts';
import { BOOT_TRACE_BODY_BYTES_MAX } from '../limits.ts';
import { putBootTrace, readBootTraces } from '../services/boot-traces.ts';
import type { Context } from '../services/context.ts';
import type { GrantIssuer } from '../services/grants.ts';
import { renewGrant, reportProgress } from '../services/progress.ts';
import { putReceipt } from '../services/receipts.ts';
import type { Guards } from './guard.ts';

/** Mounts what edges say about teleports. */
export function mountTeleportRoutes(
  app: App,
  context: Context,
  grants: GrantIssuer,
  { edge }: Guards,
): void {
  mountOperation(app, ops.reportProgress, edge, ({ params, body }, node, call) =>
    reportProgress(context, node, params.teleport, body, call.req.raw.signal),
  );
  mountOperation(app, ops.renewGrant, edge, ({ params, body }, node) =>
    renewGrant(context, grants, node, params.teleport, body.epoch),
  );
  mountOperation(
    app,
    ops.putBootTrace,
    edge,
    ({ params, body }, node) => putBootTrace(context, node, params.teleport, body),
    { bodyBytesMax: BOOT_TRACE_BODY_BYTES_MAX },
  );
  mountOperation(app, ops.readBootTraces, edge, ({ params, query }, node) =>
    readBootTraces(context, node, params.teleport, query.epoch),
  );
  mountOperation(app, ops.putReceipt, edge, ({ params, body }, node) =>
    putReceipt(context, node, params.teleport, body.receipt),
  );
}
