/**
 * Room: coordinator, routes. What nodes say and ask: each operation of the contracts and the use case
 * it calls.
 */

import * as delivered from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import * as files from '@vmdn/core/http/contracts/coordinator-files.ts';
import * as ops from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { health } from '@vmdn/core/http/contracts/disks.ts';
import { type App, mountOperation } from '@vmdn/core/http/mount.ts';
import { DESCRIPTION_BODY_BYTES_MAX, HOLDINGS_BODY_BYTES_MAX } from '../limits.ts';
import { reportCapture } from '../services/captures.ts';
import type { Context } from '../services/context.ts';
import { desiredState } from '../services/desired.ts';
import { enrolNode } from '../services/enrolment.ts';
import { reportExport } from '../services/exports.ts';
import type { GrantIssuer } from '../services/grants.ts';
import { heartbeat, reportHoldings } from '../services/nodes.ts';
import { reportImport, reportSeed } from '../services/orders.ts';
import { reportReadsAhead } from '../services/read-ahead.ts';
import {
  announceVersion,
  readDescription,
  reportScores,
  setVersionState,
} from '../services/versions.ts';
import type { Guards } from './guard.ts';
import { createLongPolls } from './long-polls.ts';

/** Mounts everything that nodes may call. */
export function mountNodeRoutes(
  app: App,
  context: Context,
  grants: GrantIssuer,
  guards: Guards,
): void {
  mountOperation(app, health, guards.open, async () => ({ status: 'ok' as const }));
  mountOperation(app, ops.enrolNode, guards.open, ({ body }) => enrolNode(context, body));
  mountOperation(app, ops.heartbeat, guards.node, ({ body }, node) =>
    heartbeat(context, node, body),
  );
  mountOperation(
    app,
    ops.reportHoldings,
    guards.node,
    ({ body }, node) => reportHoldings(context, node, body.images, body.making ?? []),
    { bodyBytesMax: HOLDINGS_BODY_BYTES_MAX },
  );
  mountOperation(
    app,
    ops.announceVersion,
    guards.origin,
    ({ params, body }, node) => announceVersion(context, node, params, body),
    { bodyBytesMax: DESCRIPTION_BODY_BYTES_MAX },
  );
  mountOperation(app, ops.setVersionState, guards.origin, ({ params, body }, node) =>
    setVersionState(context, node, params, body.state),
  );
  mountOperation(app, ops.readDescription, guards.edge, ({ params }, node) =>
    readDescription(context, node, params),
  );
  mountDesiredState(app, context, grants, guards);
  mountOperation(app, ops.reportScores, guards.edge, ({ params, body }, node) =>
    reportScores(context, node, params, body),
  );
  mountOperation(app, ops.reportReadsAhead, guards.edge, ({ body }, node) =>
    reportReadsAhead(context, node, body.reads),
  );
  mountOperation(app, ops.reportSeed, guards.edge, ({ params, body }, node) =>
    reportSeed(context, node, params.seed, body),
  );
  mountOperation(app, files.reportImport, guards.edge, ({ params, body }, node) =>
    reportImport(context, node, params.import, body),
  );
  mountOperation(app, files.reportExport, guards.edge, ({ params, body }, node) =>
    reportExport(context, node, params.export, body),
  );
  mountOperation(
    app,
    delivered.reportCapture,
    guards.edge,
    ({ params, body }, node) => reportCapture(context, node, params.capture, body),
    { bodyBytesMax: DESCRIPTION_BODY_BYTES_MAX },
  );
}

function mountDesiredState(app: App, context: Context, grants: GrantIssuer, guards: Guards): void {
  const polls = createLongPolls();
  mountOperation(app, ops.desiredState, guards.edge, ({ query }, node, call) =>
    polls.wait(query, call.req.raw.signal, (poll) => desiredState(context, grants, node, poll)),
  );
}
