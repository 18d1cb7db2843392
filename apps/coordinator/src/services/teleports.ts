/**
 * Room: coordinator, services. Teleports as users ask for them.
 *
 * I1: a request is one row, made in one transaction with its route; the same request id again gives
 *     the same teleport.
 * I2: cancelling is a wish: the edge reads it from its desired state and confirms by reporting
 *     `cancelled`.
 */

import type { DatabaseWay } from '@vmdn/core/domain/databases.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { functionalObstacle, OTHER_METHODS } from '@vmdn/core/domain/functional.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { RequestedMethod } from '@vmdn/core/domain/skip-free.ts';
import { isSettled, mayCancel } from '@vmdn/core/domain/teleport.ts';
import { EVENT_COMMENT_MS, TELEPORTS_PAGE_DEFAULT } from '../limits.ts';
import type { PlaceValue, Tables, TeleportRow } from '../ports.ts';
import { requireNoCapture } from './captures.ts';
import type { ClientIdentity, Context } from './context.ts';
import { addMove, callOff, requireDiscard, requireMovable } from './moves.ts';
import { findRoute, requireRoute } from './routing.ts';
import {
  type IdentityRequest,
  identityWishOf,
  identityWords,
  requireIdentity,
} from './teleport-identity.ts';
import {
  skippedValue,
  type TeleportView,
  unknownTeleport,
  viewTeleport,
  viewTeleports,
} from './teleport-view.ts';
import { unknownVm } from './versions.ts';
import { withdrawnVm } from './withdrawn.ts';

export interface TeleportRequest extends IdentityRequest {
  readonly vm: Name;
  readonly near: PlaceValue;
  readonly withinKm?: number | undefined;
  readonly method?: RequestedMethod | undefined;
  readonly databases?: DatabaseWay | undefined;
  readonly skipFree?: boolean | undefined;
  readonly lazy?: boolean | undefined;
  readonly move?: boolean | undefined;
  readonly requestId?: Id | undefined;
}

/** What a request means where it says nothing. Throws `invalid_input`. */
function wishOf(request: TeleportRequest) {
  const { method = 'exact', skipFree = false, lazy, databases = 'files' } = request;
  if (method === 'exact' && databases === 'dump') {
    const words = 'An exact disk has its databases as they are: ask for a dump with functional.';
    throw new VmdnError('invalid_input', words);
  }
  if (method === 'functional' && (lazy === true || skipFree)) {
    const words =
      lazy === true
        ? "A functional copy can't be used before it is complete: ask for functional or for lazy."
        : 'A functional copy is made of files, free space is not among them: ask for functional alone.';
    throw new VmdnError('invalid_input', words);
  }
  // Neither is to be had of a functional copy: of the methods that the request allows one is left.
  const allowed = method === 'cheapest' && (lazy === true || skipFree) ? 'exact' : method;
  const who = identityWishOf(request);
  return {
    ...{ method: allowed, skipFree, databases, withinKm: request.withinKm ?? null, who },
    /**
     * Of a VM that comes so: it runs at once, unless that can't be or is not wanted. A source that will not
     * start again stays startable until all of it is there.
     */
    lazyBy: (chosen: TeleportRow['method']) =>
      lazy ?? (chosen === 'exact' && who.identity === 'same' && request.move !== true),
  };
}

interface RequestedVersion {
  readonly vmId: Id;
  readonly version: number;
}

/** The version that a request means: the newest that can be had. Throws `not_found`, `withdrawn`. */
async function requestedVersion(
  tables: Tables,
  project: Id,
  name: Name,
): Promise<RequestedVersion> {
  const vm = await tables.vms.find(project, name);
  if (vm === undefined) throw await unknownVm(tables, project, name);
  const version = await tables.vms.newestAvailable(vm.id);
  if (version !== undefined) return { vmId: vm.id, version: version.version };
  throw await withdrawnVm(tables, vm);
}

/**
 * The same for a method, an identity and networks. Throws `unsupported_format` for a guest that is known to
 * be unfit for them, `invalid_input` for networks that it is not on.
 */
async function versionFor(
  tables: Tables,
  project: Id,
  request: TeleportRequest,
): Promise<RequestedVersion> {
  const { vm, method } = request;
  const version = await requestedVersion(tables, project, vm);
  const description = await tables.vms.description(version.vmId, version.version);
  requireIdentity(description, vm, request);
  const obstacle = method === 'functional' ? functionalObstacle(description) : null;
  if (obstacle === null) return version;
  const words = `"${vm}" can't be copied functionally: ${obstacle}; ${OTHER_METHODS}.`;
  throw new VmdnError('unsupported_format', words, { data: { vm } });
}

/** Runs a VM near a place. Throws `not_found`, `withdrawn`, `unsupported_format`, `no_room`, `conflict`. */
export async function requestTeleport(
  context: Context,
  { project }: ClientIdentity,
  request: TeleportRequest,
): Promise<TeleportView> {
  const { view, isNew } = await context.store.transaction(async (tables) => {
    // The lock comes first: a second request with the same id must see the first one's row.
    await tables.teleports.lockRouting(project);
    const present = await earlierRequest(tables, project, request);
    if (present !== undefined) {
      return { view: (await viewTeleports(tables, [present]))[0]!, isNew: false };
    }
    return { view: await addTeleport(context, tables, project, request), isNew: true };
  });
  if (isNew) {
    context.events('teleport_requested', {
      teleport: view.teleport,
      vm: view.vm,
      edge: view.edge,
      spilled: view.spilled,
    });
  }
  return view;
}

async function earlierRequest(
  tables: Tables,
  project: Id,
  request: TeleportRequest,
): Promise<TeleportRow | undefined> {
  if (request.requestId === undefined) return undefined;
  const present = await tables.teleports.findByRequest(project, request.requestId);
  if (present === undefined) return undefined;
  const { method, skipFree, lazyBy, databases, withinKm, who } = wishOf(request);
  // What an open wish came to stands in the row: either method is what was asked for.
  const meant = method === 'cheapest' ? present.method : method;
  const asked = [
    ...[request.vm, withinKm, meant, skipFree, lazyBy(meant), databases, placeWords(request.near)],
    request.move ?? false,
    ...identityWords(who),
  ];
  const known = [
    ...[present.vm, present.withinKm, present.method, present.skipFree, present.lazy],
    present.databases,
    placeWords(present.near),
    present.isMove,
    ...identityWords(present),
  ];
  if (JSON.stringify(asked) === JSON.stringify(known)) return present;
  throw new VmdnError(
    'conflict',
    'This request id was used for another request; choose a new one.',
    {
      data: { requestId: request.requestId, teleport: present.id },
    },
  );
}

/** JSON columns don't keep the order of keys. */
function placeWords(place: PlaceValue): readonly unknown[] {
  return 'region' in place ? [place.region] : [place.latitude, place.longitude];
}

async function addTeleport(
  context: Context,
  tables: Tables,
  project: Id,
  request: TeleportRequest,
): Promise<TeleportView> {
  const { method, skipFree, lazyBy, databases, withinKm, who } = wishOf(request);
  const version = await versionFor(tables, project, request);
  if (request.move === true) await requireMovable(tables, project, version.vmId, request.vm);
  const { near } = request;
  const how = { near, withinKm, skipFree, method, networks: who.networks };
  const wish = { project, ...version, ...how, teleport: null };
  const answer = requireRoute(await findRoute(context, tables, wish), request.vm);
  const id = await tables.teleports.add({
    project,
    requestId: request.requestId ?? null,
    vm: version.vmId,
    version: version.version,
    ...{ near, withinKm, skipFree, databases },
    ...who,
    method: answer.chosen.method,
    lazy: lazyBy(answer.chosen.method),
    leaseSeconds: context.timing.leaseSeconds,
    ...answer,
  });
  if (request.move === true) await addMove(tables, id, version.vmId);
  await tables.notify(`edge:${answer.edge}`, `teleport:${id}`);
  return await viewTeleport(tables, project, id);
}

/** What a teleport would move from where, without moving it. Throws as `requestTeleport`. */
export async function planTeleport(
  context: Context,
  { project }: ClientIdentity,
  request: TeleportRequest,
) {
  return await context.store.read(async (tables) => {
    const { method, skipFree, withinKm, who } = wishOf(request);
    const version = await versionFor(tables, project, request);
    const { vm, near } = request;
    const how = { near, withinKm, skipFree, method, networks: who.networks };
    const wish = { project, ...version, ...how, teleport: null };
    const answer = requireRoute(await findRoute(context, tables, wish), vm);
    const { spilled, chosen, others } = answer;
    const [facts] = await tables.vms.consistencyOf([version]);
    return {
      ...{ vm, version: version.version, method: chosen.method },
      consistency: facts!.consistency,
      ...{ spilled, chosen, others: [...others] },
      skipFree: skipFree ? skippedValue(await tables.vms.freeSpaceOf([version])) : null,
    };
  });
}

/** A teleport as it is now. Throws `not_found`. */
export async function getTeleport(
  context: Context,
  { project }: ClientIdentity,
  teleport: Id,
): Promise<TeleportView> {
  return await context.store.read((tables) => viewTeleport(tables, project, teleport));
}

/** Teleports, newest first. */
export async function listTeleports(
  context: Context,
  { project }: ClientIdentity,
  limit: number = TELEPORTS_PAGE_DEFAULT,
): Promise<TeleportView[]> {
  return await context.store.read(async (tables) =>
    viewTeleports(tables, await tables.teleports.list(project, limit)),
  );
}

interface CancelWish {
  readonly snapshot?: 'keep' | 'drop' | undefined;
  readonly writes?: 'keep' | 'discard' | undefined;
}

/**
 * Cancels a teleport, or stops and removes the VM it delivered, with its disks where that is wished. Throws
 * `not_found`, and `conflict` where they stay although the wish is to drop them, or where writes would be
 * lost.
 */
export async function cancelTeleport(
  context: Context,
  { project }: ClientIdentity,
  teleport: Id,
  { snapshot = 'keep', writes = 'keep' }: CancelWish = {},
): Promise<TeleportView> {
  const isDropped = snapshot === 'drop';
  const { view, isNews } = await context.store.transaction(async (tables) => {
    const row = await tables.teleports.lock(project, teleport);
    if (row === undefined) throw unknownTeleport(teleport);
    const isPossible = mayCancel(row.state);
    if (!isPossible && isDropped && !row.dropSnapshot) {
      const words = 'This teleport was over before; its disks stay with its edge as a snapshot.';
      throw new VmdnError('conflict', words, { data: { teleport, state: row.state } });
    }
    requireDiscard(row, writes);
    if (isPossible && writes === 'keep') await requireNoCapture(tables, row);
    if (isPossible) {
      const what = row.state === 'running' ? 'Stopped and removed' : 'Cancelled';
      const rest = isDropped ? ', with its snapshot' : '';
      const message = `${what} at the user's wish${rest}.`;
      await tables.teleports.cancel(teleport, message, isDropped);
      await callOff(tables, row);
      await tables.notify(`edge:${row.edgeId}`, `teleport:${teleport}`);
    }
    return { view: await viewTeleport(tables, project, teleport), isNews: isPossible };
  });
  if (isNews) context.events('teleport_cancelled', { teleport, edge: view.edge });
  return view;
}

/**
 * Yields the teleport now and at each change, null when nothing happened for a while (the stream
 * then sends a comment), and ends after its final state or when the coordinator stops.
 */
export async function* followTeleport(
  context: Context,
  client: ClientIdentity,
  teleport: Id,
  signal: AbortSignal,
): AsyncGenerator<TeleportView | null> {
  using watch = context.wakes.watch([`teleport:${teleport}`]);
  const stop = AbortSignal.any([signal, context.closing]);
  let last = '';
  let silentSince = Date.now();
  while (!stop.aborted) {
    const view = await getTeleport(context, client, teleport);
    const words = JSON.stringify(view);
    if (words !== last) {
      last = words;
      silentSince = Date.now();
      yield view;
      if (isSettled(view)) return;
    } else if (Date.now() - silentSince >= EVENT_COMMENT_MS) {
      silentSince = Date.now();
      yield null;
    }
    await watch.next(Math.min(context.timing.watchMs, EVENT_COMMENT_MS), stop);
  }
}
