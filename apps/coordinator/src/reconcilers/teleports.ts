/**
 * Room: coordinator, reconcilers. Teleports that can't go on as they are: the edge is away, or the
 * version was withdrawn under it.
 *
 * I1: whatever is decided is decided under the routing lock and the row's lock, after looking again;
 *     a new route has the next epoch, so the former holder's reports are stale.
 * I2: a teleport that finds no new home waits, says why, and is looked at again.
 * I3: versions are never mixed: a teleport starts over on a new version as a whole (DESIGN §2.1).
 * I4: a VM that runs is not taken from its users: when nobody has the rest of its disk, that is said, and
 *     taken back when somebody has.
 * I5: a move whose edge was allowed to boot is given to no other edge and starts over on no other version:
 *     its VM may run where it is, and must not run twice (services/moves.ts).
 * I6: an edge loses a teleport, and a holder counts as gone, by silence only while they could be heard
 *     (services/hearing.ts).
 */

import type { Id } from '@vmdn/core/domain/names.ts';
import { isDependent, isFinal, isStranded } from '@vmdn/core/domain/teleport.ts';
import type { Context } from '../services/context.ts';
import { isGranted } from '../services/moves.ts';
import { answerOf, findRoute, type RouteAnswer } from '../services/routing.ts';
import { awaitedSource, isSourceGone, nextVersion } from '../services/withdrawn.ts';
import type { Tables } from '../store/store.ts';
import type { TeleportRow } from '../store/teleport-store.ts';
import type { Reconciler } from './reconciler.ts';

interface Found {
  readonly id: Id;
  readonly project: Id;
}

/** Moves teleports whose edge let its lease run out. */
export function reconcileLeases(context: Context): Reconciler {
  return {
    name: 'leases',
    async run(signal) {
      await context.hearing.look();
      const found = await context.store.read((tables) => tables.teleports.expired());
      await eachOf(context, found, signal, async (tables, row) => {
        if (!(await tables.teleports.isExpired(row.id))) return;
        await leaveEdge(context, tables, row);
      });
    },
  };
}

/** Starts teleports over whose version was withdrawn before its bytes were all there. */
export function reconcileWithdrawn(context: Context): Reconciler {
  return {
    name: 'withdrawn',
    async run(signal) {
      await context.hearing.look();
      const found = await context.store.read((tables) => tables.teleports.withdrawn());
      await eachOf(context, found, signal, async (tables, row) => {
        const isGone = await isSourceGone(context, tables, row);
        if (row.state === 'running') return await strand(context, tables, row, isGone);
        if (!isGone || !isIncomplete(row) || (await isGranted(tables, row))) return;
        await startOver(context, tables, row);
      });
    },
  };
}

/** Whether its disk is not there yet; a lazy VM boots before it is. */
function isIncomplete({ state, lazy }: TeleportRow): boolean {
  return ['routed', 'syncing', 'waiting'].includes(state) || (lazy && state === 'booting');
}

/** I4. */
async function strand(
  context: Context,
  tables: Tables,
  row: TeleportRow,
  isGone: boolean,
): Promise<void> {
  if (isGone) {
    const why =
      `${row.vm} changed at its origin before all of its disk was on ${row.edge}, and nobody else ` +
      `has the rest: what it reads of that waits. Cancel it, and ask for ${row.vm} again; ` +
      'it goes on by itself if somebody has that disk again.';
    await explain(context, tables, row, why, 'withdrawn');
  } else if (isStranded(row) && (await tables.teleports.explain(row.id, null, null))) {
    await tables.notify(`teleport:${row.id}`);
  }
}

/** Does `work` on each that is not final, or runs and needs others, under both locks (I1). */
export async function eachOf(
  context: Context,
  found: readonly Found[],
  signal: AbortSignal,
  work: (tables: Tables, row: TeleportRow) => Promise<void>,
): Promise<void> {
  for (const { id, project } of found) {
    if (signal.aborted) return;
    await context.store.transaction(async (tables) => {
      await tables.teleports.lockRouting(project);
      const row = await tables.teleports.lock(project, id);
      if (row === undefined || (isFinal(row.state) && !isDependent(row))) return;
      await work(tables, row);
    });
  }
}

async function routeAgain(
  context: Context,
  tables: Tables,
  row: TeleportRow,
  version: number,
): Promise<RouteAnswer | null> {
  const { project, vmId, near, withinKm, skipFree, method, networks, id } = row;
  const how = { near, withinKm, skipFree, method, networks };
  const wish = { project, vmId, version, ...how, teleport: id };
  return answerOf(await findRoute(context, tables, wish));
}

async function leaveEdge(context: Context, tables: Tables, row: TeleportRow): Promise<void> {
  if (await isGranted(tables, row)) {
    const why =
      `Edge ${row.edge} is away. It may run ${row.vm}, which must not run twice: waiting for that edge. ` +
      'Cancel the move to give it up; its source comes back when the edge has.';
    return await explain(context, tables, row, why);
  }
  const version = await versionToDeliver(context, tables, row);
  const answer = await routeAgain(context, tables, row, version);
  if (answer === null || answer.edge === row.edgeId) {
    await explain(
      context,
      tables,
      row,
      `Edge ${row.edge} is away, and no other edge has room; waiting.`,
    );
    return;
  }
  await reroute(context, tables, row, {
    ...answer,
    version,
    message: `Edge ${row.edge} went away; ${answer.chosen.edge} took over.`,
  });
}

/** The present version while it can be read from somewhere, else the newest that can. */
async function versionToDeliver(
  context: Context,
  tables: Tables,
  row: TeleportRow,
): Promise<number> {
  if (!(await isSourceGone(context, tables, row))) return row.version;
  return (await tables.vms.newestAvailable(row.vmId))?.version ?? row.version;
}

/** Gives it the newest version, wherever there is room for that; until then it waits and says why. */
export async function startOver(context: Context, tables: Tables, row: TeleportRow): Promise<void> {
  const version = await nextVersion(tables, row);
  if (version === undefined) {
    await explain(context, tables, row, await awaitedSource(tables, row));
    return;
  }
  const answer = await routeAgain(context, tables, row, version);
  if (answer === null) {
    const why = `The source of ${row.vm} changed, and no edge has room for version ${version}; waiting.`;
    await explain(context, tables, row, why);
    return;
  }
  await reroute(context, tables, row, {
    ...(await preferPresentEdge(tables, row, answer)),
    version,
    message: `The source changed while it was read; started over on version ${version}.`,
  });
}

/** The edge that worked on it has most of the segments already, if it can still take the VM. */
async function preferPresentEdge(
  tables: Tables,
  row: TeleportRow,
  answer: RouteAnswer,
): Promise<RouteAnswer> {
  const present = answer.others.find((other) => other.edge === row.edge);
  const isBetter = present === undefined || !present.eligible || row.spilled !== answer.spilled;
  if (answer.edge === row.edgeId || isBetter) return answer;
  const node = await tables.nodes.find(row.edgeId);
  if (node === undefined) return answer;
  const reason = `It worked on the version before and keeps what recurs. ${present.reason}`;
  return {
    edge: node.id,
    spilled: answer.spilled,
    chosen: { ...present, reason },
    others: [answer.chosen, ...answer.others.filter((other) => other !== present)],
  };
}

async function reroute(
  context: Context,
  tables: Tables,
  row: TeleportRow,
  route: RouteAnswer & { readonly version: number; readonly message: string },
): Promise<void> {
  await tables.teleports.reroute(row.id, {
    ...route,
    leaseSeconds: context.timing.leaseSeconds,
  });
  await tables.notify(`teleport:${row.id}`, `edge:${row.edgeId}`, `edge:${route.edge}`);
  context.events('teleport_rerouted', {
    teleport: row.id,
    from: row.edge,
    to: route.chosen.edge,
    epoch: row.epoch + 1,
    version: route.version,
  });
}

async function explain(
  context: Context,
  tables: Tables,
  row: TeleportRow,
  message: string,
  code: string | null = row.errorCode,
): Promise<void> {
  if (!(await tables.teleports.explain(row.id, message, code))) return;
  await tables.notify(`teleport:${row.id}`);
  context.events('teleport_stuck', { teleport: row.id, edge: row.edge, message });
}
