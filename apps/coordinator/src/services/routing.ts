/**
 * Room: coordinator, services. Gathers what domain/routing.ts decides on.
 *
 * I1: under the project's routing lock, room that was promised to a teleport is not promised twice.
 * I2: edges plan the disks as they are; the same plans, which then say too much rather than too little, stand
 *     for those without free space.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { type NetworkMap, neededNetworks } from '@vmdn/core/domain/networks.ts';
import { findRegion, unknownRegion } from '@vmdn/core/domain/regions.ts';
import {
  type Demand,
  type RequestedPlace,
  type RoutableEdge,
  type Route,
  route,
  type Verdict,
} from '@vmdn/core/domain/routing.ts';
import type { RequestedMethod } from '@vmdn/core/domain/skip-free.ts';
import { OTHERS_MAX } from '../limits.ts';
import type { DestinationValue, NodeHealth, PlaceValue, Tables } from '../ports.ts';
import type { Context } from './context.ts';

export interface RouteRequest {
  readonly project: Id;
  readonly vmId: Id;
  readonly version: number;
  readonly near: PlaceValue;
  readonly withinKm: number | null;
  /** Whether its disks are those without free space. */
  readonly skipFree: boolean;
  readonly method: RequestedMethod;
  /** Networks of the VM under other names at an edge. */
  readonly networks: NetworkMap;
  /** A teleport whose own promise doesn't count against it. */
  readonly teleport: Id | null;
}

export interface RouteAnswer {
  readonly edge: Id;
  readonly spilled: boolean;
  readonly chosen: DestinationValue;
  readonly others: readonly DestinationValue[];
}

const NO_ROOM = { storeBytes: 0, memoryMiB: 0, vcpus: 0 };

/** Routes a version of a VM. Throws `not_found` for an unknown place. */
export async function findRoute(
  context: Context,
  tables: Tables,
  request: RouteRequest,
): Promise<Route> {
  const nodes = await tables.nodes.list(request.project, context.hearing.patienceSeconds());
  const place = resolvePlace(request, nodes);
  const demand = await demandOf(tables, request, nodes);
  const edges = await routableEdges(context, tables, request, demand, nodes);
  return route(place, demand, edges, request.method);
}

/** The point and name of a place; regions that only edges have are known too. */
export function resolvePlace(
  { near, withinKm }: Pick<RouteRequest, 'near' | 'withinKm'>,
  nodes: readonly NodeHealth[],
): RequestedPlace {
  if (!('region' in near)) return { ...near, region: null, withinKm, isCity: false };
  const wanted = near.region.toLowerCase();
  const known = findRegion(near.region);
  if (known !== undefined) {
    const { latitude, longitude, region, kind } = known;
    return { latitude, longitude, region, withinKm, isCity: kind === 'city' };
  }
  const own = nodes.find((node) => node.region?.toLowerCase() === wanted && node.latitude !== null);
  if (own === undefined || own.latitude === null || own.longitude === null) {
    throw unknownRegion(
      near.region,
      nodes.flatMap((node) => node.region ?? []),
    );
  }
  const point = { latitude: own.latitude, longitude: own.longitude };
  return { ...point, region: near.region, withinKm, isCity: false };
}

async function demandOf(
  tables: Tables,
  request: RouteRequest,
  nodes: readonly NodeHealth[],
): Promise<Demand & { readonly originId: Id }> {
  const { hardware, vm } = await tables.vms.description(request.vmId, request.version);
  const disks = await tables.vms.disks(request.vmId, request.version, request.skipFree);
  const { originId } = (await tables.vms.find(request.project, vm))!;
  const origin = nodes.find((node) => node.id === originId);
  return {
    disks,
    originId,
    memoryMiB: hardware.memoryMiB,
    vcpus: hardware.vcpus,
    originBytesPerSecond: origin?.uplinkLimit ?? null,
    networks: neededNetworks(hardware, request.networks),
  };
}

async function routableEdges(
  context: Context,
  tables: Tables,
  request: RouteRequest,
  demand: Demand,
  nodes: readonly NodeHealth[],
): Promise<RoutableEdge[]> {
  const digests = demand.disks.map((disk) => disk.digest);
  const promised = await tables.teleports.promised(request.project, request.teleport);
  const scores = await tables.vms.scores(request.vmId, request.version);
  const held = await tables.images.heldBy(request.project, digests);
  return nodes.flatMap((node) => {
    if (node.kind !== 'edge' || node.latitude === null || node.longitude === null) return [];
    const score = scores.find((one) => one.edgeId === node.id);
    const mine = held.filter((one) => one.node === node.id).map((one) => one.digest);
    const edge: RoutableEdge = {
      edge: node.name,
      node: node.id,
      region: node.region,
      latitude: node.latitude,
      longitude: node.longitude,
      healthy: node.healthy,
      compatible: node.protocol === context.protocol,
      free: freeOf(node),
      promised: promised.get(node.id) ?? NO_ROOM,
      plans: score?.disks.map((disk) => disk.plan) ?? null,
      functional: score?.functional ?? null,
      networks: node.networks,
      held: new Set(mine),
    };
    return [edge];
  });
}

function freeOf(node: NodeHealth): RoutableEdge['free'] {
  const { freeStoreBytes, freeMemoryMiB, freeVcpus } = node;
  if (freeStoreBytes === null || freeMemoryMiB === null || freeVcpus === null) return null;
  return { storeBytes: freeStoreBytes, memoryMiB: freeMemoryMiB, vcpus: freeVcpus };
}

function destinationOf({ node: _, lacks: __, ...destination }: Verdict): DestinationValue {
  return destination;
}

/** A route as it is kept and answered; null when no edge can take the VM. */
export function answerOf(found: Route): RouteAnswer | null {
  if (found.chosen === null) return null;
  return {
    edge: found.chosen.node,
    spilled: found.spilled,
    chosen: destinationOf(found.chosen),
    others: found.others.slice(0, OTHERS_MAX).map(destinationOf),
  };
}

/** The answer, or the error that says why there is none. Throws `no_room`; `not_found` for a network. */
export function requireRoute(found: Route, vm: Name): RouteAnswer {
  const answer = answerOf(found);
  if (answer !== null) return answer;
  const edges = found.others.slice(0, OTHERS_MAX).map(destinationOf);
  const why =
    edges.length === 0
      ? 'No edge is enrolled; start one.'
      : edges
          .slice(0, 5)
          .map((edge) => `${edge.edge}: ${edge.reason}`)
          .join(' ');
  const lacked = new Set(found.others.flatMap(({ lacks }) => lacks));
  if (found.others.length > 0 && found.others.every(({ lacks }) => lacks.length > 0)) {
    throw noNetwork(vm, [...lacked], why);
  }
  throw new VmdnError('no_room', `No edge can take "${vm}" now. ${why}`, { data: { vm, edges } });
}

/** No edge will ever take it as it is: waiting does not help. */
function noNetwork(vm: Name, networks: readonly Name[], why: string): VmdnError {
  const names = networks.map((name) => `"${name}"`).join(' and ');
  const [example] = networks;
  const message =
    `"${vm}" is to be on the network ${names}, which no edge has. ${why} Name it in VMDN_NETWORKS of an ` +
    `edge, or put the VM on another network: --network ${example}=user.`;
  return new VmdnError('not_found', message, { data: { vm, networks } });
}
