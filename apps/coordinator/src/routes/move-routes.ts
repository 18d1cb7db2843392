/**
 * Room: coordinator, routes. What origins ask and say about moves: each operation of the contracts and the
 * use case it calls.
 */

import * as ops from '@vmdn/core/http/contracts/coordinator-moves.ts';
import { type App, mountOperation } from '@vmdn/core/http/mount.ts';
import type { Context } from '../services/context.ts';
import { desiredFences, reportFence } from '../services/fences.ts';
import type { Guards } from './guard.ts';
import { createLongPolls } from './long-polls.ts';

/** Mounts what origins call about moves. */
export function mountMoveRoutes(app: App, context: Context, { origin }: Guards): void {
  const polls = createLongPolls();
  mountOperation(app, ops.desiredFences, origin, ({ query }, node, call) =>
    polls.wait(query, call.req.raw.signal, (poll) => desiredFences(context, node, poll)),
  );
  mountOperation(app, ops.reportFence, origin, ({ params, body }, node) =>
    reportFence(context, node, params.teleport, body),
  );
}
