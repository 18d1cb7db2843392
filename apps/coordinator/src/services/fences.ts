/**
 * Room: coordinator, services. Moves, as far as origins go: which of their sources must not start, and what
 * they say of that. The teleport's part is in moves.ts.
 *
 * I1: the revision is a hash of all that is said; the same wishes have the same one at every coordinator.
 * I2: a report counts only from the origin of the VM, and under the epoch that the teleport has; but its
 *     operator's word always does.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { fenceAfter, wantedOfOrigin } from '@vmdn/core/domain/fence.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { FenceWishValue } from '@vmdn/core/http/contracts/coordinator-moves.ts';
import type { Tables } from '../ports.ts';
import type { Context, NodeIdentity } from './context.ts';
import { contentHash } from './secrets.ts';
import { unknownTeleport } from './teleport-view.ts';

/** A wait that ends when the wishes differ from `revision`, after `waitSeconds`, or at the stop. */
export async function desiredFences(
  context: Context,
  { node }: NodeIdentity,
  poll: {
    readonly revision?: string | undefined;
    readonly waitSeconds: number;
    readonly signal: AbortSignal;
  },
) {
  using watch = context.wakes.watch([`origin:${node.id}`]);
  const stop = AbortSignal.any([poll.signal, context.closing]);
  const deadline = Date.now() + poll.waitSeconds * 1000;
  for (;;) {
    const fences = await context.store.read((tables) => wishesOf(tables, node.id));
    const revision = contentHash(fences);
    const remainingMs = deadline - Date.now();
    if (revision !== poll.revision || remainingMs <= 0 || stop.aborted) return { revision, fences };
    await watch.next(Math.min(context.timing.watchMs, remainingMs), stop);
  }
}

async function wishesOf(tables: Tables, origin: Id): Promise<FenceWishValue[]> {
  const rows = await tables.moves.wishesOf(origin);
  return rows.flatMap(({ teleport, vm, version, epoch, fence, heldEpoch, ...row }) => {
    const want = wantedOfOrigin(fence);
    if (want === null) return [];
    const confirmed = fence === 'held' && heldEpoch === epoch;
    const settled = row.state === 'running' && row.independentAt !== null;
    return [{ teleport, vm, version, epoch, want, confirmed, settled }];
  });
}

/** Takes an origin's word. Throws `not_found`, `forbidden`, `stale_epoch`. */
export async function reportFence(
  context: Context,
  { node, project }: NodeIdentity,
  teleport: Id,
  report: {
    readonly epoch: number;
    readonly state: 'fenced' | 'refused' | 'released' | 'forced';
    readonly message?: string | undefined;
  },
) {
  const change = await context.store.transaction(async (tables) => {
    const row = await tables.teleports.lock(project, teleport);
    const move = row?.isMove ? await tables.moves.find(teleport) : undefined;
    if (row === undefined || move === undefined) throw unknownTeleport(teleport);
    if (move.originId !== node.id) {
      throw new VmdnError('forbidden', 'The source of this VM belongs to another origin.');
    }
    if (report.epoch !== row.epoch && report.state !== 'forced') {
      const words = 'This move has gone on to another epoch: read what is wanted of this origin.';
      const data = { teleport, epoch: report.epoch, present: row.epoch };
      throw new VmdnError('stale_epoch', words, { data });
    }
    const fence = fenceAfter(move.fence, report.state);
    const problem = report.state === 'refused' ? (report.message ?? null) : null;
    const isHeld = report.state === 'fenced' && fence === 'held';
    if (fence === move.fence && problem === move.problem && (!isHeld || move.epoch === row.epoch)) {
      return null;
    }
    await tables.moves.put(teleport, { fence, problem, ...(isHeld ? { epoch: row.epoch } : {}) });
    await tables.notify(`teleport:${teleport}`, `origin:${node.id}`);
    return { from: move.fence, to: fence, epoch: row.epoch };
  });
  if (change !== null) {
    context.events('fence_state', {
      teleport,
      origin: node.name,
      reported: report.state,
      ...change,
    });
  }
  return { accepted: true as const };
}
