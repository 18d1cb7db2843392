/**
 * Room: coordinator, routes. What users ask: each operation of the contracts and the use case it calls.
 */

import * as ops from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as delivered from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import { type App, mountOperation } from '@vmdn/core/http/mount.ts';
import { cancelCapture, getCapture, requestCapture } from '../services/captures.ts';
import type { Context } from '../services/context.ts';
import { createEnrolmentToken } from '../services/enrolment.ts';
import { getExport, requestExport } from '../services/exports.ts';
import { forgetVm } from '../services/forget-vm.ts';
import { listImages, listNodes } from '../services/nodes.ts';
import { getImport, getSeed, requestImport, requestSeed } from '../services/orders.ts';
import { listRegions } from '../services/places.ts';
import { setPower } from '../services/power.ts';
import { getReceipt } from '../services/receipts.ts';
import { cacheStatistics } from '../services/statistics.ts';
import {
  cancelTeleport,
  getTeleport,
  listTeleports,
  planTeleport,
  requestTeleport,
} from '../services/teleports.ts';
import { describeVm, listVms } from '../services/versions.ts';
import { createEventStreams } from './event-stream.ts';
import type { Guards } from './guard.ts';
import { openApiDocument } from './openapi.ts';

/** Mounts everything that users may call. */
export function mountClientRoutes(app: App, context: Context, { client }: Guards): void {
  mountOperation(app, ops.requestTeleport, client, ({ body }, user) =>
    requestTeleport(context, user, body),
  );
  mountOperation(app, ops.listTeleports, client, async ({ query }, user) => ({
    teleports: await listTeleports(context, user, query.limit),
  }));
  mountOperation(app, ops.getTeleport, client, ({ params }, user) =>
    getTeleport(context, user, params.teleport),
  );
  mountOperation(app, ops.followTeleport, client, createEventStreams(context));
  mountOperation(app, ops.cancelTeleport, client, ({ params, query }, user) =>
    cancelTeleport(context, user, params.teleport, query),
  );
  mountOperation(app, ops.getReceipt, client, ({ params }, user) =>
    getReceipt(context, user, params.teleport),
  );
  mountOperation(app, ops.planTeleport, client, ({ body }, user) =>
    planTeleport(context, user, body),
  );
  mountOperation(app, ops.listEdges, client, async (_, user) => ({
    nodes: await listNodes(context, user),
  }));
  mountOperation(app, ops.listImages, client, async (_, user) => ({
    images: (await listImages(context, user)).map((image) => ({
      ...image,
      holders: [...image.holders],
    })),
  }));
  mountOperation(app, ops.listVms, client, async (_, user) => ({
    vms: await listVms(context, user),
  }));
  mountOperation(app, ops.describeVm, client, ({ params }, user) =>
    describeVm(context, user, params.vm),
  );
  mountOperation(app, ops.forgetVm, client, ({ params }, user) =>
    forgetVm(context, user, params.vm),
  );
  mountOperation(app, ops.listRegions, client, async (_, user) => ({
    regions: await listRegions(context, user),
  }));
  mountOperation(app, ops.requestSeed, client, ({ body }, user) =>
    requestSeed(context, user, body),
  );
  mountOperation(app, ops.getSeed, client, ({ params }, user) =>
    getSeed(context, user, params.seed),
  );
  mountOperation(app, ops.requestImport, client, ({ body }, user) =>
    requestImport(context, user, body),
  );
  mountOperation(app, ops.getImport, client, ({ params }, user) =>
    getImport(context, user, params.import),
  );
  mountOperation(app, ops.requestExport, client, ({ body }, user) =>
    requestExport(context, user, body),
  );
  mountOperation(app, ops.getExport, client, ({ params }, user) =>
    getExport(context, user, params.export),
  );
  mountDeliveredRoutes(app, context, { client });
  mountOperation(app, ops.cacheStatistics, client, (_, user) => cacheStatistics(context, user));
  mountOperation(app, ops.createEnrolmentToken, client, ({ body }, user) =>
    createEnrolmentToken(context, user, body),
  );
  mountOperation(app, ops.openApi, client, async () => openApiDocument());
}

/** What users ask of VMs that were delivered. */
function mountDeliveredRoutes(
  app: App,
  context: Context,
  { client }: Pick<Guards, 'client'>,
): void {
  mountOperation(app, delivered.setPower, client, ({ params, body }, user) =>
    setPower(context, user, params.teleport, body.power),
  );
  mountOperation(app, delivered.requestCapture, client, ({ body }, user) =>
    requestCapture(context, user, body),
  );
  mountOperation(app, delivered.getCapture, client, ({ params }, user) =>
    getCapture(context, user, params.capture),
  );
  mountOperation(app, delivered.cancelCapture, client, ({ params }, user) =>
    cancelCapture(context, user, params.teleport),
  );
}
